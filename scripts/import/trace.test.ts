import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  formatTimestamp,
  type MalformedRow,
  parseRow,
  readTrace,
  summarizeTrace,
  type TraceRow,
} from "./trace.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "meterbase-trace-"));
});
afterAll(() => rm(dir, { recursive: true }));

async function file(text: string): Promise<string> {
  const path = join(dir, `${Math.random()}.csv`);
  await writeFile(path, text);
  return path;
}
const HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens";

describe("a row", () => {
  test("keeps microseconds of a timestamp with seven decimals", () => {
    const row = parseRow(["2023-11-16 18:15:46.6805900", "374", "44"], 2);
    expect(row).toEqual({
      line: 2,
      at: Date.UTC(2023, 10, 16, 18, 15, 46) * 1000 + 680_590,
      contextTokens: 374,
      generatedTokens: 44,
    });
    expect("at" in row && formatTimestamp(row.at)).toBe("2023-11-16T18:15:46.680590Z");
  });

  test.each([
    [["2023-11-16 18:15:46", "1"], "2 columns"],
    [["2023-11-16 18:15:46", "1", "2", "3"], "4 columns"],
    [["2023-02-30 18:15:46", "1", "2"], "TIMESTAMP"],
    [["2023-11-16 25:15:46", "1", "2"], "TIMESTAMP"],
    [["yesterday", "1", "2"], "TIMESTAMP"],
    [["2023-11-16 18:15:46", "-1", "2"], "ContextTokens"],
    [["2023-11-16 18:15:46", "1.5", "2"], "ContextTokens"],
    [["2023-11-16 18:15:46", "1", ""], "GeneratedTokens"],
    [["2023-11-16 18:15:46", "1", "99999999999999999999"], "GeneratedTokens"],
  ])("%j is malformed", (record, fault) => {
    expect(parseRow(record, 9)).toEqual({ line: 9, fault: expect.stringContaining(fault) });
  });
});

describe("a file", () => {
  test("with CRLF, a bad row and a stray quote gives every good row, with its line", async () => {
    const path = await file(
      [
        HEADER,
        "2023-11-16 00:00:00,1,2",
        'oops,"',
        "2023-11-16 00:00:02,3,4",
        '2023-11-16 00:00:03,"5,6',
        "",
      ].join("\r\n"),
    );
    const rows: (TraceRow | MalformedRow)[] = [];
    for await (const row of readTrace(path)) rows.push(row);
    expect(rows.map((row) => [row.line, "fault" in row ? "bad" : row.contextTokens])).toEqual([
      [2, 1],
      [3, "bad"],
      [4, 3],
      [5, "bad"],
    ]);
  });

  test("is summed up before it is imported", async () => {
    const text = `${HEADER}\r\n2023-11-16 00:00:05,1,2\r\nbad\r\n2023-11-16 00:00:02,3,4\r\n`;
    const summary = await summarizeTrace(await file(text));
    expect(summary).toMatchObject({ rows: 2, tokens: 10, lastAt: Date.UTC(2023, 10, 16, 0, 0, 5) * 1000 });
    expect(summary.malformed.map(({ line }) => line)).toEqual([3]);
    expect((await summarizeTrace(await file(text))).id).toBe(summary.id);
    expect((await summarizeTrace(await file(`${text} `))).id).not.toBe(summary.id);
  });

  test("that is none is refused", async () => {
    await expect(summarizeTrace(await file("a,b,c\n1,2,3\n"))).rejects.toThrow("its header is not");
    await expect(summarizeTrace(await file(""))).rejects.toThrow("is empty");
    await expect(summarizeTrace(join(dir, "missing.csv"))).rejects.toThrow("ENOENT");
  });
});
