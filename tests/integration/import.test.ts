import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { formatTrace, generateTrace } from "../../scripts/demo/generated_trace.ts";
import { type ImportResult, importTrace } from "../../scripts/import/import_trace.ts";
import { summarizeTrace } from "../../scripts/import/trace.ts";
import { service } from "../helpers/people.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const { url, secretKey, databaseUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} });
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "meterbase-import-"));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  await sql.end();
});

async function traceFile(rows: number, seed: number): Promise<string> {
  const path = join(dir, `${seed}.csv`);
  await writeFile(path, formatTrace(generateTrace(rows, seed)));
  return path;
}

/** What the database holds of a trace: rows and tokens. */
async function stored(path: string): Promise<{ rows: number; tokens: number }> {
  const { id } = await summarizeTrace(path);
  const [total] = await sql<[{ rows: number; tokens: number }]>`
    select count(*)::int as rows, coalesce(sum(tokens_consumed), 0)::float8 as tokens
    from tenant_usage_realtime where event_id like ${`${id}:%`}`;
  return total;
}

/** The command as a user runs it. */
function command(path: string, tenants: number, key = secretKey) {
  const args = ["--import", "tsx", "scripts/import/main.ts", path, "--json", "--tenants", String(tenants)];
  const child = spawn(process.execPath, [...args, "--url", url, "--key", key]);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

describe("a trace", () => {
  test("is imported whole, and a second time not at all", async () => {
    const path = await traceFile(scaled(2_000, 20_000), 11);
    const trace = await summarizeTrace(path);
    const first = await importTrace({ client: service, path, tenants: 12, prefix: "Whole" });
    expect(first).toMatchObject({ accepted: trace.rows, duplicates: 0, rejected: 0, tokens: trace.tokens });
    expect(await stored(path)).toEqual({ rows: trace.rows, tokens: trace.tokens });
    const [latest] = await sql`
      select extract(epoch from now() - max(event_timestamp))::float8 as age
      from tenant_usage_realtime where event_id like ${`${trace.id}:%`}`;
    expect(latest?.age).toBeGreaterThanOrEqual(0);
    expect(latest?.age).toBeLessThan(60);

    const second = await importTrace({ client: service, path, tenants: 12, prefix: "Whole" });
    expect(second).toMatchObject({ accepted: 0, duplicates: trace.rows, tenant_ids: first.tenant_ids });
    expect(await stored(path)).toEqual({ rows: trace.rows, tokens: trace.tokens });
  });

  test.each(["SIGKILL", "SIGINT"] as const)(
    "that is broken off by %s is whole after the next run",
    async (signal) => {
      const path = await traceFile(scaled(15_000, 40_000), signal.length);
      const trace = await summarizeTrace(path);
      const broken = command(path, 12);
      await until(async () => (await stored(path)).rows > 0);
      broken.child.kill(signal);
      const { code } = await broken.ended;
      expect(code).toBe(signal === "SIGKILL" ? null : 130);
      const partial = await stored(path);
      expect(partial.rows).toBeGreaterThan(0);
      expect(partial.rows).toBeLessThan(trace.rows);

      const { stdout, code: secondCode } = await command(path, 12).ended;
      expect(secondCode).toBe(0);
      const result: ImportResult = JSON.parse(stdout);
      expect(result.accepted + result.duplicates).toBe(trace.rows);
      expect(await stored(path)).toEqual({ rows: trace.rows, tokens: trace.tokens });
    },
  );

  test("with malformed rows gives their lines, and all the others get in", async () => {
    const path = await traceFile(40, 13);
    const lines = formatTrace(generateTrace(40, 13)).split("\r\n");
    lines[5] = "2023-11-16 18:15:46,many,1";
    lines[9] = '"';
    await writeFile(path, lines.join("\r\n"));
    const { stdout, stderr, code } = await command(path, 3).ended;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ accepted: 38, malformed: 2, rejected: 0 });
    expect(stderr).toContain("line 6: ContextTokens is no count: many");
    expect(stderr).toContain("line 10: 1 columns instead of 3");
    expect(await stored(path)).toMatchObject({ rows: 38 });
  });

  test("older than the window is rejected by line, by the database", async () => {
    const path = join(dir, "old.csv");
    const header = "TIMESTAMP,ContextTokens,GeneratedTokens";
    await writeFile(path, `${header}\n2023-01-01 00:00:00,1,1\n2023-06-01 00:00:00,2,2\n`);
    const result = await importTrace({ client: service, path, tenants: 1, prefix: "Old" });
    expect(result).toMatchObject({ accepted: 1, rejected: 1 });
    expect(result.faults).toEqual([{ line: 2, fault: "too_old (event_timestamp)" }]);
  });
});

test("a file that is no trace, or a wrong key, ends with a clear message", async () => {
  const path = join(dir, "other.csv");
  await writeFile(path, "a,b\n1,2\n");
  const other = await command(path, 1).ended;
  expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining("is no trace") });
  const refused = await command(await traceFile(5, 17), 1, "sb_secret_wrong").ended;
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("The tenants cannot be read") });
});
