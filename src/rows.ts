import type { PostgrestError } from "@supabase/supabase-js";
import { z } from "zod";
import { MeterbaseError, toMeterbaseError } from "./errors.ts";

/** A part of a listing. Without one: the first 1,000 rows, which is the most that the data API gives at a time. */
export interface ListOptions {
  /** 1 to 1,000. */
  limit?: number;
  /** How many rows are left out before. */
  offset?: number;
}

/** The answer of a function that says nothing. */
export const Nothing = z.null().transform(() => undefined);

/** A statement on a table, which answers with rows. */
export type Statement = PromiseLike<{ data: unknown; error: PostgrestError | null; status: number }>;

/** The rows that a statement answers with, parsed. */
export async function rowsOf<Rows extends z.ZodType>(
  statement: Statement,
  rows: Rows,
): Promise<z.infer<Rows>> {
  const { data, error, status } = await statement;
  if (error) throw toMeterbaseError(error, status);
  const parsed = rows.safeParse(data);
  if (parsed.success) return parsed.data;
  const message = "A table answered with something else than expected";
  throw new MeterbaseError("unexpected_answer", status, message, undefined, { cause: parsed.error });
}

/** Rows of a table, parsed: those that row level security shows to the caller, so none where it may read none. */
export function list<Row extends z.ZodType>(
  listing: { range(from: number, to: number): Statement },
  row: Row,
  { limit = 1_000, offset = 0 }: ListOptions = {},
): Promise<z.infer<Row>[]> {
  return rowsOf(listing.range(offset, offset + limit - 1), row.array());
}
