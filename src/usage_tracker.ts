import type { Json } from "./database.types.ts";
import type { Meterbase } from "./index.ts";
import { estimateCost, estimateTokens } from "./tokens.ts";
import type { UsageEvent } from "./usage.ts";

/** What is known of an operation when it ends. All of it may be left out. */
export interface UsageOutcome {
  /** All tokens of the operation. Estimated from `message` and `response`, with `metadata.model`, when absent. */
  tokens_used?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
  /** The texts that went to a model and came from it; only their tokens are recorded, never the texts. */
  message?: string;
  response?: string;
  /** Milliseconds; since the tracker was made when absent. */
  response_time_ms?: number;
  /** HTTP status: 200 for a success, the error's `status` or 500 for a failure, 429 for a rate limit when absent. */
  status_code?: number;
  /** US dollars, where the caller knows them. */
  cost_usd?: number;
  /** How many embeddings, searches, …; 1 when absent. */
  quantity?: number;
  /** Added to the tracker's. */
  metadata?: { [key: string]: Json | undefined };
}

/**
 * Times one operation and records how it ended, as one usage event: the first outcome counts, later ones change nothing.
 * Its methods never throw and resolve once the event is in the buffer, not once it is sent; see `UsageBuffer`.
 * @example
 * const tracker = mb.usage.track(tenantId, "embedding", { model: "text-embedding-3-small" });
 * try {
 *   const result = await embed(texts);
 *   await tracker.recordSuccess({ tokens_used: result.tokens, quantity: texts.length });
 * } catch (error) {
 *   await tracker.recordFailure(error);
 *   throw error;
 * }
 */
export class UsageTracker {
  /** The event's id, for a caller that wants to refer to it. */
  readonly eventId = crypto.randomUUID();
  readonly #mb: Pick<Meterbase, "usage">;
  readonly #tenantId: string;
  readonly #eventType: UsageEvent["event_type"];
  readonly #metadata: { [key: string]: Json | undefined };
  readonly #startedAt = performance.now();
  #isRecorded = false;

  constructor(
    mb: Pick<Meterbase, "usage">,
    tenantId: string,
    eventType: UsageEvent["event_type"],
    metadata: { [key: string]: Json | undefined } = {},
  ) {
    this.#mb = mb;
    this.#tenantId = tenantId;
    this.#eventType = eventType;
    this.#metadata = metadata;
  }

  recordSuccess(outcome: UsageOutcome = {}): Promise<void> {
    return this.#record(200, outcome);
  }

  /** Records the error's message with the event, and its `status` when it has one. */
  recordFailure(error?: unknown, outcome: UsageOutcome = {}): Promise<void> {
    const status = (error as { status?: unknown } | null | undefined)?.status;
    const isHttpError = typeof status === "number" && status >= 400 && status <= 599;
    const metadata = { error: messageOf(error), ...outcome.metadata };
    return this.#record(isHttpError ? status : 500, { ...outcome, metadata });
  }

  /** The operation was refused for lack of quota. */
  recordRateLimit(outcome: UsageOutcome = {}): Promise<void> {
    return this.#record(429, outcome);
  }

  #record(status: number, outcome: UsageOutcome): Promise<void> {
    if (this.#isRecorded) return Promise.resolve();
    this.#isRecorded = true;
    const event = this.#event(status, outcome, new Date(), performance.now() - this.#startedAt);
    return this.#mb.usage.buffer.addWhenReady(this.#tenantId, event);
  }

  async #event(status: number, outcome: UsageOutcome, endedAt: Date, elapsedMs: number) {
    const metadata = { ...this.#metadata, ...outcome.metadata };
    const model = typeof metadata.model === "string" ? metadata.model : undefined;
    const { tokens, cost, ...split } = await measure(outcome, model);
    return {
      event_id: this.eventId,
      event_type: this.#eventType,
      event_timestamp: endedAt.toISOString(),
      tokens_consumed: tokens,
      ...(outcome.cost_usd !== undefined && { cost_usd: outcome.cost_usd }),
      ...(cost !== undefined && { estimated_cost_usd: cost }),
      api_response_time_ms: outcome.response_time_ms ?? Math.round(elapsedMs * 1_000) / 1_000,
      api_status_code: outcome.status_code ?? status,
      quantity: outcome.quantity ?? 1,
      metadata: { ...metadata, ...split },
    };
  }
}

/** The first 500 characters of an error's message, whatever was thrown. */
function messageOf(error: unknown): string {
  try {
    return (error instanceof Error ? error.message : String(error ?? "unknown")).slice(0, 500);
  } catch {
    return "unknown";
  }
}

/** `new UsageTracker(…)` in one word. */
export function trackUsage(...args: ConstructorParameters<typeof UsageTracker>): UsageTracker {
  return new UsageTracker(...args);
}

interface Measure {
  tokens: number;
  cost?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
}

/** The tokens of an operation, as told or estimated from its texts, and what they cost where nothing better is known. */
async function measure(outcome: UsageOutcome, model: string | undefined): Promise<Measure> {
  try {
    const isTold = outcome.tokens_used !== undefined;
    const count = async (told: number | undefined, text: string | undefined) =>
      told ?? (isTold || text === undefined ? undefined : await estimateTokens(text, model));
    const prompt = await count(outcome.prompt_tokens, outcome.message);
    const completion = await count(outcome.completion_tokens, outcome.response);
    const tokens = outcome.tokens_used ?? (prompt ?? 0) + (completion ?? 0);
    const isPriced = model !== undefined && outcome.cost_usd === undefined && tokens > 0;
    const cost = isPriced
      ? await estimateCost(model, prompt ?? tokens - (completion ?? 0), completion)
      : null;
    return {
      tokens,
      ...(cost !== null && { cost }),
      ...(prompt !== undefined && { prompt_tokens: prompt }),
      ...(completion !== undefined && { completion_tokens: completion }),
    };
  } catch {
    return { tokens: outcome.tokens_used ?? 0 }; // a tokenizer or price list that fails must not cost the event
  }
}
