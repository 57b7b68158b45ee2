import type { SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Database } from "./database.types.ts";
import { MeterbaseError, toMeterbaseError } from "./errors.ts";

/** A supabase-js client of the project: with a user's session, or with the secret key on a server. */
export type Client = SupabaseClient<Database>;

type Functions = Database["public"]["Functions"];

/** Arguments that are undefined are not sent, so that the database's defaults hold. */
type Arguments<Name extends keyof Functions> = {
  [Key in keyof Functions[Name]["Args"]]: Functions[Name]["Args"][Key] | null | undefined;
};

interface CallOptions {
  /** Reads may be called by GET, and so on a replica. */
  get?: boolean;
  signal?: AbortSignal;
}

/**
 * Calls a database function that answers with rows and returns them parsed.
 * @throws {MeterbaseError} when it refuses, cannot be reached, or answers with something else.
 */
export async function callRows<Name extends keyof Functions, Row extends z.ZodType>(
  client: Client,
  name: Name,
  args: Arguments<Name>,
  row: Row,
  { signal, ...options }: CallOptions = {},
): Promise<z.infer<Row>[]> {
  const call = client.rpc(name, args as Functions[Name]["Args"], options);
  const { data, error, status } = await (signal ? call.abortSignal(signal) : call);
  if (error) throw toMeterbaseError(error, status);
  const parsed = row.array().safeParse(data);
  if (!parsed.success) {
    throw new MeterbaseError(
      "unexpected_answer",
      status,
      `${name} answered with something else than expected`,
      undefined,
      {
        cause: parsed.error,
      },
    );
  }
  return parsed.data;
}

/** The same for a function that answers with exactly one row. */
export async function callOne<Name extends keyof Functions, Row extends z.ZodType>(
  client: Client,
  name: Name,
  args: Arguments<Name>,
  row: Row,
  options: CallOptions = {},
): Promise<z.infer<Row>> {
  const [first] = await callRows(client, name, args, row, options);
  if (first === undefined) throw new MeterbaseError("unexpected_answer", 200, `${name} answered with no row`);
  return first;
}
