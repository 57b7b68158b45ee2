import type { PostgrestError } from "@supabase/supabase-js";
import { z } from "zod";

/** Anything that Meterbase refuses or cannot do. A denied quota is no error: it is an answer with `allowed: false`. */
export class MeterbaseError extends Error {
  /** Stable reason, such as `metric_not_found`; CONTRIBUTING.md lists them. */
  readonly code: string;
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** What the database adds, such as which constraint was broken. */
  readonly hint: string | undefined;

  constructor(code: string, status: number, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.status = status;
    this.hint = hint;
  }
}

/** 400: the arguments are not acceptable. */
export class InvalidRequestError extends MeterbaseError {}
/** 401 or 403: not signed in, or not allowed to. */
export class PermissionError extends MeterbaseError {}
/** 404: the tenant, metric, plan or reservation does not exist. */
export class NotFoundError extends MeterbaseError {}
/** 409: it contradicts what was done before, such as an idempotency key used for another request. */
export class ConflictError extends MeterbaseError {}
/**
 * 429: a statement on a metered table was refused for want of quota. `denial` says why: the answer, and for who may read
 * the tenant's usage the whole receipt, with its `explanation` in one sentence.
 */
export class QuotaExceededError extends MeterbaseError {
  get denial(): Record<string, unknown> | null {
    try {
      return JSON.parse(this.hint ?? "") as Record<string, unknown>;
    } catch {
      return null;
    }
  }
}
/** The database could not be asked: no connection, or a 5xx. Retrying may help. */
export class UnavailableError extends MeterbaseError {}

const CLASSES: Record<number, typeof MeterbaseError> = {
  400: InvalidRequestError,
  401: PermissionError,
  403: PermissionError,
  404: NotFoundError,
  409: ConflictError,
  429: QuotaExceededError,
};

/**
 * The error for a failed call of the data API, of a function or of a table. The database's `hint` is the reason, our
 * `code`; its `details` are our `hint`.
 */
export function toMeterbaseError(error: PostgrestError, status: number): MeterbaseError {
  const isReason = /^PT\d{3}$/.test(error.code ?? "") && error.hint;
  const reason = { code: isReason ? error.hint : error.code, message: error.message, hint: error.details };
  return errorOf(status, reason, error);
}

/** What an edge function answers when it refuses. */
const Refusal = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
});

/** The error for a failed call of an edge function: what its answer says, or that no whole answer came. */
export async function toFunctionError(
  error: Error,
  response: Pick<Response, "status" | "json"> | undefined,
): Promise<MeterbaseError> {
  const body = Refusal.safeParse(await response?.json().catch(() => undefined));
  const reason = body.success ? body.data.error : { code: undefined, message: error.message };
  return errorOf(response?.status ?? 0, reason, error);
}

function errorOf(
  status: number,
  { code, message, hint }: { code: string | undefined; message: string; hint?: string | undefined },
  cause: unknown,
): MeterbaseError {
  const unavailable = status === 0 || status >= 500;
  const Class = unavailable ? UnavailableError : (CLASSES[status] ?? MeterbaseError);
  return new Class(code || (unavailable ? "unavailable" : "unknown"), status, message, hint || undefined, {
    cause,
  });
}
