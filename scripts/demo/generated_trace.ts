import { formatTimestamp, type TraceRow } from "../import/trace.ts";
import { mix } from "../import/zipf.ts";

// A production conversation service's hour at these shares of its requests: the Azure LLM inference trace 2023 (Patel et
// al., "Splitwise", ISCA 2024; CC-BY). Its two columns are all but uncorrelated (r = -0.11).
const SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const CONTEXT = [2, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2735, 4083, 4142, 14050];
const GENERATED = [7, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1000];
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

/** The value below which `share` (0 to 1) of a distribution lies. */
function quantile(values: number[], share: number): number {
  const above = Math.max(
    1,
    SHARES.findIndex((bound) => share <= bound),
  );
  const [from = 0, to = 1] = SHARES.slice(above - 1, above + 1);
  const [low = 0, high = 0] = values.slice(above - 1, above + 1);
  return Math.round(low + ((high - low) * (share - from)) / (to - from));
}
