import { ApiError, log } from "../_shared/http.ts";
import type { Decision } from "../_shared/quota.ts";
import type { MeteredCall } from "./metered_call.ts";
import { bytesOf, estimatePrompt, type Message, type Model, tokensOf, type Usage } from "./model.ts";

export interface ChatAnswer {
  session_id: string;
  message: string;
  /** `quota_exceeded`: the quota ended before the answer did; `error`: it was broken off by a fault. */
  finish_reason: "stop" | "quota_exceeded" | "error";
  usage: Usage;
  /** Where the tokens stand now; null when they could not be settled. */
  quota: Decision | null;
}

export interface Question {
  model: string;
  messages: Message[];
}

/**
 * Passes on as much of the model's answer as tokens are held for, and charges exactly that, however it ends: whole, out of
 * quota, unread, or with a model that falls silent. A model that fails charges nothing.
 *
 * `reader` is aborted when nobody listens any more.
 */
export async function* answer(
  call: MeteredCall,
  model: Model,
  question: Question,
  reader: AbortSignal,
  stallMs: number,
): AsyncGenerator<string, ChatAnswer> {
  const prompt_tokens = estimatePrompt(question.messages);
  const stop = new AbortController();
  const signal = AbortSignal.any([reader, stop.signal]);
  let message = "";
  let bytes = 0;
  let reported: Usage | undefined;
  let ending: ChatAnswer["finish_reason"] | "failed" | "unread" = "unread";
  const used = (): Usage => {
    const completion_tokens = tokensOf(bytes);
    return reported ?? { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  };

  const pieces = model({ ...question, signal });
  try {
    for (;;) {
      const stall = setTimeout(() => stop.abort(), stallMs);
      const next = await pieces.next().finally(() => clearTimeout(stall));
      if (next.done) {
        reported = next.value;
        ending = signal.aborted ? "error" : "stop"; // a client library may end quietly when it is aborted
        break;
      }
      const produced = bytes + bytesOf(next.value);
      const held = await call.hold(prompt_tokens + tokensOf(produced));
      if (held !== "held") {
        ending = held;
        break;
      }
      message += next.value;
      bytes = produced;
      yield next.value;
    }
  } catch (error) {
    ending = signal.aborted ? "error" : "failed";
    if (!reader.aborted) log("error", "Chat model failed", { error: String(error) });
  } finally {
    stop.abort();
    await pieces.return(undefined);
    if (ending === "unread") await call.settle(used(), 499);
  }
  // A model that fell silent before its first word has failed.
  if (ending === "failed" || (ending === "error" && message === "" && !reader.aborted)) {
    await call.giveBack(502);
    throw new ApiError(502, "model_failed", "The model did not answer; nothing was charged.");
  }
  const usage = used();
  const quota = await call.settle(usage, ending === "error" ? 499 : 200);
  return { session_id: call.sessionId, message, finish_reason: ending, usage, quota };
}
