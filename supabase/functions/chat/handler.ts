import { z } from "zod";
import type { Identify } from "../_shared/caller.ts";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, readBody } from "../_shared/http.ts";
import { quotaExceeded } from "../_shared/quota.ts";
import { rateLimited } from "../_shared/rate_limit.ts";
import { answer, type ChatAnswer } from "./answer.ts";
import { MeteredCall } from "./metered_call.ts";
import type { Message, Model } from "./model.ts";

export interface ChatDeps {
  identify: Identify;
  /** Calls the database as nobody. */
  nobody: Rpc;
  model: Model;
  settings: {
    model: string;
    models: string[];
    /** Tokens held for an answer at first, and each time that it grows beyond what is held. */
    estimatedTokens: number;
    /** How long a model may say nothing. */
    stallMs: number;
  };
  now: () => Date;
  newId: () => string;
}

// What Postgres cannot hold as text would make the usage event fail after the answer.
const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => value.isWellFormed() && !value.includes("\u0000"), "not valid text");
const content = text(100_000);
const ChatBody = z
  .object({
    tenant_id: z.uuid().optional(),
    message: content.optional(),
    messages: z
      .array(z.object({ role: z.enum(["system", "user", "assistant"]), content }))
      .min(1)
      .max(200)
      .optional(),
    session_id: text(200).optional(),
    visitor_id: text(200).optional(),
    model: text(200).optional(),
    stream: z.boolean().default(false),
  })
  .refine((body) => (body.message === undefined) !== (body.messages === undefined), {
    message: "Send either message or messages.",
  });

/**
 * `POST chat`: counts the request against the rate limit, holds one message and the first tokens, asks the model, holds
 * more tokens as the answer grows, then settles on what it used, together with the usage event. Whatever is held is given
 * back when the model fails.
 */
export async function handleChat(request: Request, deps: ChatDeps): Promise<Response> {
  if (request.method !== "POST") throw new ApiError(405, "method_not_allowed", "Send a POST request.");
  const caller = await deps.identify(request);
  const body = await readBody(request, ChatBody);
  const tenantId = body.tenant_id ?? caller.tenantId;
  if (!tenantId) throw new ApiError(400, "tenant_required", "Say which tenant: tenant_id.");
  const model = body.model ?? deps.settings.model;
  if (!deps.settings.models.includes(model) && !deps.settings.models.includes("*")) {
    throw new ApiError(400, "model_not_allowed", `The model "${model}" is not offered here.`);
  }
  const messages: Message[] = body.messages ?? [{ role: "user", content: body.message ?? "" }];
  const call = new MeteredCall(deps, caller.rpc, { ...body, tenant_id: tenantId, model });
  const limit = { rpc: caller.rpc, tenantId, now: deps.now, onDenial: () => call.recordDenial() };

  return rateLimited(limit, async () => {
    const denial = await call.admit(messages);
    if (denial) return quotaExceeded(denial, deps.now());
    const left = new AbortController();
    const reader = AbortSignal.any([request.signal, left.signal]);
    const pieces = answer(call, deps.model, { model, messages }, reader, deps.settings.stallMs);
    if (body.stream) return streamed(pieces, left);
    let next = await pieces.next();
    while (!next.done) next = await pieces.next();
    return Response.json(next.value);
  });
}

/** The answer as server-sent events: `delta` for each piece, then `done` with what else would be the body, or `error`. */
async function streamed(
  pieces: AsyncGenerator<string, ChatAnswer>,
  left: AbortController,
): Promise<Response> {
  // The first piece decides between a status and a stream: a model that fails at once is a plain 502.
  let first: IteratorResult<string, ChatAnswer> | null = await pieces.next();
  const encoder = new TextEncoder();
  const events = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (event: string, data: unknown) =>
        controller.enqueue(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
      try {
        const next = first ?? (await pieces.next());
        first = null;
        if (!next.done) return send("delta", { content: next.value });
        send("done", next.value);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        send("error", error.body);
      }
      controller.close();
    },
    async cancel() {
      left.abort(); // a model that says nothing would not notice that nobody asks it to go on
      await pieces.return(undefined as never);
    },
  });
  return new Response(events, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}
