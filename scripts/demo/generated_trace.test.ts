import { expect, test } from "vitest";
import { parseRow } from "../import/trace.ts";
import { formatTrace, generateTrace } from "./generated_trace.ts";

test("has the sizes and the rate of the trace that it imitates", () => {
  const rows = generateTrace(20_000);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  // Of the original: 26,450,535 tokens in 19,366 requests over 3,502 seconds.
  const perRequest = mean(rows.map((row) => row.contextTokens + row.generatedTokens));
  expect(perRequest / (26_450_535 / 19_366)).toBeGreaterThan(0.85);
  expect(perRequest / (26_450_535 / 19_366)).toBeLessThan(1.15);
  const seconds = ((rows.at(-1)?.at ?? 0) - (rows[0]?.at ?? 0)) / 1e6;
  expect(20_000 / seconds / (19_366 / 3_502)).toBeCloseTo(1, 1);
});

test("is the same for the same seed, and well-formed as a file", () => {
  expect(generateTrace(100, 3)).toEqual(generateTrace(100, 3));
  expect(generateTrace(100, 3)).not.toEqual(generateTrace(100, 4));
  const rows = generateTrace(100);
  const lines = formatTrace(rows).split("\r\n").slice(1, -1);
  expect(lines.map((line, i) => parseRow(line.split(","), i + 2))).toEqual(rows);
});
