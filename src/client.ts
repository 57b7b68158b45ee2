import type { SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Database } from "./database.types.ts";
import { InvalidRequestError, MeterbaseError, toFunctionError, toMeterbaseError } from "./errors.ts";

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
  return parse(answer, data, status, name);
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

/**
 * Posts to an edge function, such as `billing/cancel`, and returns what it answers, parsed. Fields of the body that are
 * undefined are not sent.
 * @throws {InvalidRequestError} `invalid_idempotency_key`: it is sent as a header, hence printable ASCII.
 * @throws {MeterbaseError} when it refuses, cannot be reached, or answers with something else.
 */
export async function invoke<Answer extends z.ZodType>(
  client: Client,
  path: string,
  body: Record<string, unknown>,
  answer: Answer,
  idempotencyKey?: string,
): Promise<z.infer<Answer>> {
  if (idempotencyKey !== undefined && !/^[!-~]([ -~]*[!-~])?$/.test(idempotencyKey)) {
    const message = "An idempotency key of an edge function is printable ASCII without spaces around it.";
    throw new InvalidRequestError("invalid_idempotency_key", 400, message);
  }
  const headers = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
  const { data, error, response } = await client.functions.invoke<unknown>(path, { body, headers });
  if (error) throw await toFunctionError(error, response);
  return parse(answer, data, response?.status ?? 200, path);
}

function parse<Answer extends z.ZodType>(
  answer: Answer,
  data: unknown,
  status: number,
  name: string,
): z.infer<Answer> {
  const parsed = answer.safeParse(data);
  if (parsed.success) return parsed.data;
  const message = `${name} answered with something else than expected`;
  throw new MeterbaseError("unexpected_answer", status, message, undefined, { cause: parsed.error });
}
