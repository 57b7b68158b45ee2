import { formatTimestamp, type TraceRow } from "../import/trace.ts";
import { mix } from "../import/zipf.ts";

// Every 5th percentile of a production conversation service's hour: the Azure LLM inference trace 2023 (Patel et al.,
// "Splitwise", ISCA 2024; CC-BY). Its two columns are all but uncorrelated (r = -0.11).
// biome-ignore format: one line each
const CONTEXT = [2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1877, 2735, 4083, 14050];
// biome-ignore format: one line each
const GENERATED = [7, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 1000];
const REQUESTS_PER_SECOND = 19_366 / 3_502;

/** A trace of `count` requests with the sizes and the rate of a real one; the same seed gives the same trace. */
export function generateTrace(count: number, seed = 1): TraceRow[] {
  let draws = 0;
  const uniform = () => mix(seed * 1_000_003 + draws++) / 2 ** 32;
  let at = Date.UTC(2026, 0, 1) * 1000;
  return Array.from({ length: count }, (_, i) => {
    at += Math.round((-Math.log(1 - uniform()) / REQUESTS_PER_SECOND) * 1_000_000);
    const row = {
      line: i + 2,
      at,
      contextTokens: quantile(CONTEXT, uniform()),
      generatedTokens: quantile(GENERATED, uniform()),
    };
    return row;
  });
}

export function formatTrace(rows: TraceRow[]): string {
  const lines = rows.map(
    (row) =>
      `${formatTimestamp(row.at).slice(0, -1).replace("T", " ")},${row.contextTokens},${row.generatedTokens}`,
  );
  return `TIMESTAMP,ContextTokens,GeneratedTokens\r\n${lines.join("\r\n")}\r\n`;
}

/** The value at `share` (0 to 1) of a distribution given by evenly spaced percentiles. */
function quantile(percentiles: number[], share: number): number {
  const position = share * (percentiles.length - 1);
  const below = percentiles[Math.floor(position)] ?? 0;
  const above = percentiles[Math.ceil(position)] ?? below;
  return Math.round(below + (above - below) * (position % 1));
}
