import type { z } from "zod";

/** What every function answers with when it cannot do what was asked: `{ error: { code, message, hint? } }`. */
export class ApiError extends Error {
  readonly status: number;
  /** Stable: what a client branches on. */
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  get body(): { error: { code: string; message: string; hint?: string } } {
    return { error: { code: this.code, message: this.message, ...(this.hint && { hint: this.hint }) } };
  }
}

export const corsHeaders = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, apikey, content-type, idempotency-key, x-client-info",
  "access-control-allow-methods": "GET, POST, PATCH, DELETE, OPTIONS",
  "access-control-expose-headers": "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
};

/** The response to what a handler threw; what nobody meant to throw gives nothing away. */
export function errorResponse(error: unknown): Response {
  if (error instanceof ApiError) return Response.json(error.body, { status: error.status });
  log("error", "Unexpected error", { error: String(error) });
  const { body, status } = new ApiError(500, "internal_error", "Something went wrong.");
  return Response.json(body, { status });
}

/** Answers pre-flight requests, adds the CORS headers, and turns what is thrown into the error body. */
export function withErrors(handle: (request: Request) => Promise<Response>) {
  return async (request: Request): Promise<Response> => {
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: corsHeaders });
    const response = await handle(request).catch(errorResponse);
    for (const [name, value] of Object.entries(corsHeaders)) response.headers.set(name, value);
    return response;
  };
}

/** The token of `Authorization: Bearer …`; 401 without one. */
export function bearerToken(request: Request): string {
  const token = /^Bearer\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (!token) throw new ApiError(401, "unauthorized", "Send a user's access token as Authorization: Bearer.");
  return token;
}

/** What has the form that is asked for; 400 `invalid_request`, with the first fault, for all else. */
export function parse<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ApiError(400, "invalid_request", `${issue?.path.join(".") || "body"}: ${issue?.message}`);
}

/** The same of a request's body, which is JSON. */
export async function readBody<T extends z.ZodType>(request: Request, schema: T): Promise<z.infer<T>> {
  const json: unknown = await request.json().catch(() => {
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  });
  return parse(schema, json);
}

/** A request's body as text, byte for byte as it was sent; 413 `body_too_large`, before the rest is read. */
export async function readText(request: Request, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      throw new ApiError(413, "body_too_large", `The body is larger than ${maxBytes} bytes.`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** A request's body as JSON, `{}` where there is none; 400 `invalid_json`, 413 `body_too_large`. */
export async function readOptionalJson(request: Request, maxBytes: number): Promise<unknown> {
  const text = await readText(request, maxBytes);
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  }
}

/** One line of JSON on the function's log. */
export function log(
  level: "info" | "warn" | "error",
  msg: string,
  fields: Record<string, unknown> = {},
): void {
  console[level](JSON.stringify({ level, msg, ...fields }));
}
