import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import { ApiError } from "./http.ts";

/** Calls a database function and returns what it answers; throws an ApiError when it refuses. */
export type Rpc = (name: string, args: Record<string, unknown>) => Promise<unknown>;

/** Which of the rows, and in which direction; all of them, from the least on, unless told otherwise. */
export interface Slice {
  isDescending?: boolean;
  limit?: number;
  offset?: number;
}

/** The rows of a table that the caller may see and whose columns have these values, in the order of a column. */
export type Rows = (
  table: string,
  match: Record<string, string>,
  order: string,
  slice?: Slice,
) => Promise<unknown>;

type Row = Record<string, unknown>;

export interface DataApi {
  rpc: Rpc;
  rows: Rows;
  /** Adds a row and returns it; 400 `invalid_request` for one that the table's constraints refuse. */
  insert: (table: string, row: Row) => Promise<unknown>;
  /** Changes the rows with these values, as far as the caller may, and returns them; 400 as for `insert`. */
  update: (table: string, match: Record<string, string>, changes: Row) => Promise<unknown[]>;
  /** Deletes the rows with these values, as far as the caller may, and returns them. */
  remove: (table: string, match: Record<string, string>) => Promise<unknown[]>;
}

export interface Connection {
  url: string;
  /** A publishable or secret key of the project. */
  key: string;
  /** Asked before each call; without one, calls are made as the key alone. */
  token?: () => Promise<string>;
  /** Sent with each call. */
  headers?: Record<string, string>;
}

/** The data API as the bearer of a token, under row level security. It checks the token's signature. */
export function connect({ url, key, token, headers = {} }: Connection): DataApi {
  const client = createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers },
    ...(token && { accessToken: token }),
  });
  return {
    rpc: async (name, args) => answerOf(await client.rpc(name, args)),
    rows: async (table, match, order, { isDescending = false, limit, offset = 0 } = {}) => {
      const rows = client.from(table).select("*").match(match).order(order, { ascending: !isDescending });
      return answerOf(await (limit === undefined ? rows : rows.range(offset, offset + limit - 1)));
    },
    insert: async (table, row) => writtenOf(await client.from(table).insert(row).select("*").single()),
    update: async (table, match, changes) =>
      many(writtenOf(await client.from(table).update(changes).match(match).select("*"))),
    remove: async (table, match) =>
      many(writtenOf(await client.from(table).delete().match(match).select("*"))),
  };
}

const many = (rows: unknown) => z.array(z.unknown()).parse(rows);

const OneRow = z.tuple([z.unknown()]);

/** The only row that a database function answers with. */
export const one = <T extends z.ZodType>(schema: T, rows: unknown): z.infer<T> =>
  schema.parse(OneRow.parse(rows)[0]);

interface Answer {
  data: unknown;
  error: { code: string; hint: string; message: string } | null;
  status: number;
}

/** What a row violates: a type, a range, a constraint, a row that it names and that there is not. */
const OF_THE_ROW = /^(22\w{3}|23\w{3})$/;

/** An answer to a write, whose refusals by the table are faults of the request. */
function writtenOf(answer: Answer): unknown {
  const { code, message } = answer.error ?? {};
  if (code === "42501" && answer.status !== 401) {
    throw new ApiError(403, "permission_denied", "You may not do this in this tenant.");
  }
  if (code !== undefined && OF_THE_ROW.test(code))
    throw new ApiError(400, "invalid_request", message ?? code);
  return answerOf(answer);
}

function answerOf({ data, error, status }: Answer): unknown {
  if (!error) return data;
  if (status === 401) throw new ApiError(401, "unauthorized", "The access token is not valid.");
  const reason = /^PT\d{3}$/.test(error.code) ? error.hint : error.code; // other hints are sentences of Postgres
  if (status >= 400 && status < 500) throw new ApiError(status, reason, error.message);
  throw new ApiError(503, "database_unavailable", "The database cannot be reached; try again.");
}
