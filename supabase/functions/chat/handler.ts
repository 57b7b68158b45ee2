import { z } from "zod";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, bearerToken, log } from "../_shared/http.ts";
import { type Decision, quotaExceeded, rateLimitHeaders } from "../_shared/quota.ts";
import { MeteredCall } from "./metered_call.ts";
import { estimateTokens, type Message, type Model, type Usage } from "./model.ts";

export interface ChatDeps {
  /** Calls the database as the bearer of a token, or as nobody. */
  rpc: (token: string | null) => Rpc;
  model: Model;
  settings: { model: string; models: string[]; estimatedTokens: number };
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
    tenant_id: z.uuid(),
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
 * `POST chat`: counts the request against the per-minute limit, holds one message and the estimated tokens,
 * asks the model, then settles on what it used, together with the usage event. Whatever is held is given back
 * when the model fails.
 */
export async function handleChat(request: Request, deps: ChatDeps): Promise<Response> {
  if (request.method !== "POST") throw new ApiError(405, "method_not_allowed", "Send a POST request.");
  const token = bearerToken(request);
  const body = await parseBody(request);
  const model = body.model ?? deps.settings.model;
  if (!deps.settings.models.includes(model) && !deps.settings.models.includes("*")) {
    throw new ApiError(400, "model_not_allowed", `The model "${model}" is not offered here.`);
  }
  const messages: Message[] = body.messages ?? [{ role: "user", content: body.message ?? "" }];
  const estimate =
    estimateTokens(...messages.map((message) => message.content)) + deps.settings.estimatedTokens;

  const call = new MeteredCall(deps, token, { ...body, model });
  const denial = await call.admit(estimate);
  if (denial) return quotaExceeded(denial, deps.now());

  const pieces = answer(call, deps.model({ model, messages, stream: body.stream }), messages);
  const headers = rateLimitHeaders(call.rate);
  if (!body.stream) {
    let next = await pieces.next();
    while (!next.done) next = await pieces.next();
    return Response.json(next.value, { headers });
  }

  // The first piece decides between a status and a stream: a model that fails at once is a plain 502.
  const first = await pieces.next();
  const events = async function* () {
    try {
      let next = first;
      for (; !next.done; next = await pieces.next()) yield sse("delta", { content: next.value });
      yield sse("done", next.value);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      yield sse("error", error.body);
    } finally {
      await pieces.return(undefined as never); // the reader went away: settle on what it got
    }
  };
  return new Response(ReadableStream.from(events()).pipeThrough(new TextEncoderStream()), {
    headers: { ...headers, "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}

type ChatBody = z.infer<typeof ChatBody>;

interface ChatAnswer {
  session_id: string;
  message: string;
  usage: Usage;
  quota: Decision | null;
}

const sse = (event: string, data: unknown) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

async function parseBody(request: Request): Promise<ChatBody> {
  const json: unknown = await request.json().catch(() => {
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  });
  const parsed = ChatBody.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ApiError(400, "invalid_request", `${issue?.path.join(".") || "body"}: ${issue?.message}`);
}

/** Passes the model's pieces on and meters them, however the answer ends: whole, broken off by the model, or unread. */
async function* answer(
  call: MeteredCall,
  pieces: AsyncGenerator<string, Usage | undefined>,
  messages: Message[],
): AsyncGenerator<string, ChatAnswer> {
  let message = "";
  let reported: Usage | undefined;
  let outcome: "answered" | "failed" | "unread" = "unread";
  const used = (): Usage => {
    const prompt_tokens = estimateTokens(...messages.map(({ content }) => content));
    const completion_tokens = Math.ceil(message.length / 4);
    return reported ?? { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  };
  try {
    let next = await pieces.next();
    for (; !next.done; next = await pieces.next()) {
      message += next.value;
      yield next.value;
    }
    reported = next.value;
    outcome = "answered";
  } catch (error) {
    outcome = "failed";
    log("error", "Chat model failed", { error: String(error) });
  } finally {
    await pieces.return(undefined);
    if (outcome === "unread") await call.settle(used(), 499);
  }
  if (outcome === "failed") {
    await call.giveBack(502);
    throw new ApiError(502, "model_failed", "The model did not answer; nothing was charged.");
  }
  const usage = used();
  const quota = await call.settle(usage, 200);
  return { session_id: call.sessionId, message, usage, quota };
}
