import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import { ApiError } from "./http.ts";

/** Calls a database function and returns what it answers; throws an ApiError when it refuses. */
export type Rpc = (name: string, args: Record<string, unknown>) => Promise<unknown>;

/** The rows of a table that the caller may see and whose columns have these values, in the order of a column. */
export type Rows = (table: string, match: Record<string, string>, order: string) => Promise<unknown>;

export interface DataApi {
  rpc: Rpc;
  rows: Rows;
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
    rows: async (table, match, order) =>
      answerOf(await client.from(table).select("*").match(match).order(order)),
  };
}

const OneRow = z.tuple([z.unknown()]);

/** The only row that a database function answers with. */
export const one = <T extends z.ZodType>(schema: T, rows: unknown): z.infer<T> =>
  schema.parse(OneRow.parse(rows)[0]);

interface Answer {
  data: unknown;
  error: { code: string; hint: string; message: string } | null;
  status: number;
}

function answerOf({ data, error, status }: Answer): unknown {
  if (!error) return data;
  if (status === 401) throw new ApiError(401, "unauthorized", "The access token is not valid.");
  const reason = /^PT\d{3}$/.test(error.code) ? error.hint : error.code; // other hints are sentences of Postgres
  if (status >= 400 && status < 500) throw new ApiError(status, reason, error.message);
  throw new ApiError(503, "database_unavailable", "The database cannot be reached; try again.");
}
