import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { parse } from "csv-parse";

/** A request of a language model trace. */
export interface TraceRow {
  line: number;
  /** Microseconds since 1970, UTC. */
  at: number;
  contextTokens: number;
  generatedTokens: number;
}

export interface MalformedRow {
  line: number;
  fault: string;
}

const HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/**
 * The rows of a CSV trace (`TIMESTAMP,ContextTokens,GeneratedTokens`; timestamps in UTC with up to 7 decimals), in
 * the order of the file, and in their place those that are malformed.
 * @throws when the file has another header.
 */
export async function* readTrace(path: string): AsyncGenerator<TraceRow | MalformedRow> {
  // No quoting: a stray quote would swallow the rows after it.
  const parser = parse({
    bom: true,
    quote: null,
    record_delimiter: ["\r\n", "\n"],
    trim: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
  });
  const input = createReadStream(path);
  input.once("error", (error) => parser.destroy(error));
  let isHeader = true;
  for await (const { record, info } of input.pipe(parser) as AsyncIterable<{
    record: string[];
    info: { lines: number };
  }>) {
    if (isHeader) {
      if (record.join() !== HEADER.join())
        throw new Error(`${path} is no trace: its header is not ${HEADER.join()}`);
      isHeader = false;
    } else {
      yield parseRow(record, info.lines);
    }
  }
  if (isHeader) throw new Error(`${path} is empty`);
}

export function parseRow(record: string[], line: number): TraceRow | MalformedRow {
  const [timestamp = "", context = "", generated = ""] = record;
  if (record.length !== HEADER.length)
    return { line, fault: `${record.length} columns instead of ${HEADER.length}` };
  const at = parseTimestamp(timestamp);
  if (at === null) return { line, fault: `TIMESTAMP is no date and time: ${timestamp}` };
  const contextTokens = parseCount(context);
  if (contextTokens === null) return { line, fault: `ContextTokens is no count: ${context}` };
  const generatedTokens = parseCount(generated);
  if (generatedTokens === null) return { line, fault: `GeneratedTokens is no count: ${generated}` };
  return { line, at, contextTokens, generatedTokens };
}

function parseCount(text: string): number | null {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(count) ? count : null;
}

function parseTimestamp(text: string): number | null {
  const [, date, time, fraction = ""] =
    /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z?$/.exec(text) ?? [];
  const seconds = new Date(`${date}T${time}Z`);
  // JavaScript rolls February 30 over into March; such a date is none.
  if (Number.isNaN(seconds.getTime()) || !seconds.toISOString().startsWith(`${date}T${time}`)) return null;
  return seconds.getTime() * 1000 + Math.floor(Number(fraction.padEnd(7, "0")) / 10);
}

/** Microseconds since 1970 as ISO 8601. */
export function formatTimestamp(at: number): string {
  const seconds = new Date(Math.floor(at / 1_000_000) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(at % 1_000_000).padStart(6, "0")}Z`;
}

export interface TraceSummary {
  /** The same file has the same id, under whatever name. */
  id: string;
  rows: number;
  malformed: MalformedRow[];
  tokens: number;
  /** The latest row's time; microseconds since 1970. */
  lastAt: number;
}

/** Reads a whole trace once: what an import has to know before its first row. */
export async function summarizeTrace(path: string): Promise<TraceSummary> {
  const summary: TraceSummary = {
    id: "",
    rows: 0,
    malformed: [],
    tokens: 0,
    lastAt: Number.NEGATIVE_INFINITY,
  };
  for await (const row of readTrace(path)) {
    if ("fault" in row) {
      summary.malformed.push(row);
    } else {
      summary.rows++;
      summary.tokens += row.contextTokens + row.generatedTokens;
      summary.lastAt = Math.max(summary.lastAt, row.at);
    }
  }
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  summary.id = hash.digest("hex").slice(0, 16);
  return summary;
}
