import { type Answer, type Post, UrlRefused } from "../../_shared/guarded_fetch.ts";
import { type Failure, failure, type Outcome } from "../outbox.ts";

const MAX_RETRY_AFTER_SECONDS = 86_400;

export interface HttpMessage {
  url: string;
  body: string;
  headers?: Record<string, string>;
}

export interface HttpDeps {
  post: Post;
  now: () => Date;
}

/**
 * Posts JSON, and says what came of it by HTTP's own rules: a server that is busy, broken or away fails for every message,
 * so its channel waits. What a receiver means by another refusal, `refused` may say; else 410 is gone for good, and all other
 * is tried again.
 */
export async function postJson(
  { post, now }: HttpDeps,
  { url, body, headers = {} }: HttpMessage,
  signal: AbortSignal,
  refused: (answer: Answer) => Partial<Failure> = () => ({}),
): Promise<Outcome> {
  let answer: Answer;
  try {
    answer = await post(url, {
      headers: { "content-type": "application/json", "user-agent": "Meterbase/1", ...headers },
      body,
      signal,
    });
  } catch (error) {
    if (error instanceof UrlRefused) return failure(error.message, { is_permanent: true });
    return failure(networkError(error, signal), { blocks_channel: true });
  }
  const { status } = answer;
  if (status >= 200 && status < 300) return { ok: true };
  const error = `The endpoint answered ${status}.`;
  const retryAfter = retryAfterSeconds(answer.retryAfter, now());
  const later = retryAfter === null ? {} : { retry_after_seconds: retryAfter };
  if ([408, 425, 429].includes(status) || status >= 500) {
    return failure(error, { ...later, blocks_channel: true });
  }
  const { error: inTheirWords = error, ...facts } = refused(answer);
  const isGone = status === 410 && !facts.is_permanent && !facts.blocks_channel;
  return failure(inTheirWords, { ...later, ...facts, ...(isGone && { is_gone: true }) });
}

/** `Retry-After` in seconds, from seconds or a date, at most a day; null where it says neither. */
export function retryAfterSeconds(header: string | null, now: Date): number | null {
  const value = header?.trim() ?? "";
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now.getTime()) / 1000;
  if (Number.isNaN(seconds)) return null;
  return Math.min(Math.max(0, Math.ceil(seconds)), MAX_RETRY_AFTER_SECONDS);
}

/** By its code alone: a message may hold the URL, or an address of the network inside. */
function networkError(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return "There was no answer in time.";
  const code = (error as { code?: unknown } | null)?.code;
  return `The endpoint cannot be reached${typeof code === "string" && /^[A-Z_]{2,50}$/.test(code) ? ` (${code})` : ""}.`;
}
