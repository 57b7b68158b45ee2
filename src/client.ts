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
 * Calls a database function and returns what it answers, parsed.
 * @throws {MeterbaseError} when it refuses, cannot be reached, or answers with something else.
 */
export async function call<Name extends keyof Functions, Answer extends z.ZodType>(
  client: Client,
  name: Name,
  args: Arguments<Name>,
  answer: Answer,
  { signal, ...options }: CallOptions = {},
): Promise<z.infer<Answer>> {
  const request = client.rpc(name, args as Functions[Name]["Args"], options);
  const { data, error, status } = await (signal ? request.abortSignal(signal) : request);
  if (error) throw toMeterbaseError(error, status);
  const parsed = answer.safeParse(data);
  if (parsed.success) return parsed.data;
  const message = `${name} answered with something else than expected`;
  throw new MeterbaseError("unexpected_answer", status, message, undefined, { cause: parsed.error });
}

/** The same for a function that answers with rows. */
export function callRows<Name extends keyof Functions, Row extends z.ZodType>(
  client: Client,
  name: Name,
  args: Arguments<Name>,
  row: Row,
  options: CallOptions = {},
): Promise<z.infer<Row>[]> {
  return call(client, name, args, row.array(), options);
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
