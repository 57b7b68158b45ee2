import type { z } from "zod";
import { NotFoundError } from "./errors.ts";
import { rowsOf, type Statement } from "./rows.ts";

interface OfTenant {
  eq(column: "tenant_id", value: string): this;
  is(column: "tenant_id", value: null): this;
}

/** The rows of a tenant; null: those of none; without one, all. */
export function ofTenant<Rows extends OfTenant>(rows: Rows, tenantId: string | null | undefined): Rows {
  if (tenantId === undefined) return rows;
  return tenantId === null ? rows.is("tenant_id", null) : rows.eq("tenant_id", tenantId);
}

interface Keyset {
  lte(column: string, value: string): this;
  or(filters: string): this;
}

/** The rows that come, newest first, after one of that time and id. The first condition is for an index to serve. */
export function after<Rows extends Keyset>(rows: Rows, column: string, time: string, id: string): Rows {
  return rows.lte(column, time).or(`${column}.lt."${time}",id.lt."${id}"`);
}

/**
 * The one row that a statement on a table gives back, parsed.
 * @throws {NotFoundError} `missing`: it gave none, as there is none or row level security shows none to the caller.
 */
export async function only<Row extends z.ZodType>(
  statement: Statement,
  row: Row,
  missing: string,
): Promise<z.infer<Row>> {
  const [first] = await rowsOf(statement, row.array().max(1));
  if (first === undefined) throw new NotFoundError(missing, 404, "There is none, or it is not the caller's");
  return first;
}
