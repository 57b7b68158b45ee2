import { z } from "zod";
import { type Client, callOne } from "./client.ts";
import type { Json } from "./database.types.ts";

/** One thing that happened, as `recordUsage` takes it. */
export type UsageEvent = {
  /** Unique per tenant: the same id again within 32 days is the same event. 1 to 255 characters. */
  event_id: string;
  event_type:
    | "api_call"
    | "chat_message"
    | "embedding"
    | "search"
    | "kb_ingest"
    | "data_export"
    | "ai_request"
    | (string & {});
  /** ISO 8601, at most 30 days old; now when absent. */
  event_timestamp?: string;
  /** Whom it is counted for. Only the service role names one; a user is always themselves. */
  subject?: string;
  /** 0 to 2^53-1. */
  tokens_consumed?: number;
  /** US dollars; computed from `metadata.model` and its price when absent. */
  cost_usd?: number;
  /** Milliseconds. */
  api_response_time_ms?: number;
  /** HTTP status, 100 to 599. */
  api_status_code?: number;
  /** How many; 1 when absent. */
  quantity?: number;
  /** At most 16 kB. `model`, `prompt_tokens` and `completion_tokens` give the cost. */
  metadata?: { [key: string]: Json | undefined };
};

export const RejectedEvent = z.object({
  /** The event's place in the call, from 0. */
  index: z.number(),
  /** Stable: `too_old`, `in_future`, `missing_field`, `unknown_event_type`, `negative_amount`, … */
  reason: z.string(),
  field: z.string().optional(),
  event_id: z.string().optional(),
});
export type RejectedEvent = z.infer<typeof RejectedEvent>;

export const RecordUsageResult = z.object({
  accepted: z.number(),
  duplicates: z.number(),
  rejected: z.array(RejectedEvent),
});
export type RecordUsageResult = z.infer<typeof RecordUsageResult>;

/** A period's usage. Latencies in milliseconds, cost in US dollars, `error_rate` 0 to 1, `quota_*` those of tokens. */
export const UsageSummary = z.object({
  tenant_id: z.string(),
  period_type: z.string(),
  period_start: z.string(),
  period_end: z.string(),
  api_calls_total: z.number(),
  api_calls_successful: z.number(),
  api_calls_failed: z.number(),
  api_calls_rate_limited: z.number(),
  api_latency_avg_ms: z.number().nullable(),
  api_latency_p50_ms: z.number().nullable(),
  api_latency_p95_ms: z.number().nullable(),
  api_latency_p99_ms: z.number().nullable(),
  chat_messages_sent: z.number(),
  chat_messages_received: z.number(),
  chat_sessions_created: z.number(),
  chat_avg_response_time_ms: z.number().nullable(),
  embeddings_generated: z.number(),
  embeddings_tokens_used: z.number(),
  semantic_searches_performed: z.number(),
  total_tokens_used: z.number(),
  estimated_cost_usd: z.number(),
  quota_limit: z.number().nullable(),
  quota_remaining: z.number().nullable(),
  quota_exceeded_count: z.number(),
  error_count: z.number(),
  error_rate: z.number(),
  peak_qps: z.number(),
});
export type UsageSummary = z.infer<typeof UsageSummary>;

/** Usage: recording what happened, and reading it back. */
export class Usage {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Records up to 5,000 events, each once by its `event_id`: sending a batch again changes nothing. */
  recordUsage(tenantId: string, events: UsageEvent[]): Promise<RecordUsageResult> {
    return callOne(this.#client, "record_usage", { tenant_id: tenantId, events }, RecordUsageResult);
  }

  /** The tenant's UTC day so far. */
  getTodayUsage(tenantId: string): Promise<UsageSummary> {
    return callOne(this.#client, "get_today_usage", { tenant_id: tenantId }, UsageSummary, { get: true });
  }
}
