import { z } from "zod";
import { type Client, callOne, callRows } from "./client.ts";
import type { Json } from "./database.types.ts";
import { iso, type Time } from "./time.ts";
import { UsageBuffer, type UsageBufferOptions } from "./usage_buffer.ts";
import { UsageTracker } from "./usage_tracker.ts";

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
    | "execution"
    | "run_time"
    | "analysis_run"
    | (string & {});
  /** ISO 8601, at most 30 days old; now when absent. */
  event_timestamp?: string;
  /** Whom it is counted for. Only the service role names one; a user is always themselves. */
  subject?: string;
  /** 0 to 2^53-1. */
  tokens_consumed?: number;
  /** US dollars; computed from `metadata.model` and its price when absent. */
  cost_usd?: number;
  /** US dollars, used when neither `cost_usd` nor the model's price is known. */
  estimated_cost_usd?: number;
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

export type PeriodType = "hourly" | "daily" | "monthly";

/** A recorded event. `cost_usd` null: unknown. */
export const RecordedEvent = z.object({
  tenant_id: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  event_timestamp: z.string(),
  subject: z.string(),
  tokens_consumed: z.number(),
  cost_usd: z.number().nullable(),
  api_response_time_ms: z.number().nullable(),
  api_status_code: z.number().nullable(),
  quantity: z.number(),
  metadata: z.record(z.string(), z.unknown()),
});
export type RecordedEvent = z.infer<typeof RecordedEvent>;

/** `quantity` in the metric's unit; in US dollars for `cost`. */
export const TopConsumer = z.object({
  tenant_id: z.string(),
  name: z.string(),
  metric: z.string(),
  period_start: z.string(),
  quantity: z.number(),
});
export type TopConsumer = z.infer<typeof TopConsumer>;

/** What a roll-up did: events counted, and hours, days and months that they touched. */
export const RollupResult = z.object({ events_processed: z.number(), buckets_touched: z.number() });
export type RollupResult = z.infer<typeof RollupResult>;

export interface EventQuery {
  /** Only events of this type. */
  eventType?: string;
  /** 1 to 1,000; 100 by default. */
  limit?: number;
  /** Goes on after the last event of the page before. */
  before?: Pick<RecordedEvent, "event_timestamp" | "event_id">;
}

/** How long one attempt of the buffer may take, in milliseconds. */
const SEND_TIMEOUT_MS = 10_000;

/** Usage: recording what happened, and reading it back. */
export class Usage {
  /** Where trackers leave their events: `shutdown()` it when the program ends. */
  readonly buffer: UsageBuffer;
  readonly #client: Client;

  constructor(client: Client, options?: UsageBufferOptions) {
    this.#client = client;
    const send = async (tenantId: string, events: UsageEvent[]) =>
      (await this.recordUsage(tenantId, events, AbortSignal.timeout(SEND_TIMEOUT_MS))).rejected;
    this.buffer = new UsageBuffer(send, options);
  }

  /** Starts timing an operation, to be ended by its `recordSuccess`, `recordFailure` or `recordRateLimit`. */
  track(
    tenantId: string,
    eventType: UsageEvent["event_type"],
    metadata?: UsageEvent["metadata"],
  ): UsageTracker {
    return new UsageTracker({ usage: this }, tenantId, eventType, metadata);
  }

  /** Records up to 5,000 events now, each once by its `event_id`: sending a batch again changes nothing. */
  recordUsage(tenantId: string, events: UsageEvent[], signal?: AbortSignal): Promise<RecordUsageResult> {
    const args = { tenant_id: tenantId, events };
    return callOne(this.#client, "record_usage", args, RecordUsageResult, { ...(signal && { signal }) });
  }

  /** The tenant's UTC day so far. */
  getTodayUsage(tenantId: string): Promise<UsageSummary> {
    return callOne(this.#client, "get_today_usage", { tenant_id: tenantId }, UsageSummary, { get: true });
  }

  /** The hours, days or months that overlap [from, to), in order; those without usage are left out. */
  getTenantUsage(
    tenantId: string,
    from: Time,
    to: Time,
    periodType: PeriodType = "daily",
  ): Promise<UsageSummary[]> {
    const args = { tenant_id: tenantId, from_ts: iso(from), to_ts: iso(to), period_type: periodType };
    return callRows(this.#client, "get_tenant_usage", args, UsageSummary, { get: true });
  }

  /** The events in [from, to), newest first, a page at a time. */
  getTenantEvents(
    tenantId: string,
    from: Time,
    to: Time,
    { eventType, limit, before }: EventQuery = {},
  ): Promise<RecordedEvent[]> {
    const args = {
      tenant_id: tenantId,
      from_ts: iso(from),
      to_ts: iso(to),
      event_type: eventType,
      max_rows: limit,
      before_ts: before?.event_timestamp,
      before_id: before?.event_id,
    };
    return callRows(this.#client, "get_tenant_events", args, RecordedEvent, { get: true });
  }

  /** Usage of every tenant in the hour, day or month under way, most tokens first. Platform admins only. */
  getMultiTenantStats(periodType: PeriodType = "daily", limit = 100): Promise<UsageSummary[]> {
    const args = { period_type: periodType, max_rows: limit };
    return callRows(this.#client, "get_multi_tenant_stats", args, UsageSummary, { get: true });
  }

  /** Who used most of a metric, or cost most (`cost`), in the hour, day or month under way. Platform admins only. */
  getTopConsumers(metric: string, periodType: PeriodType = "daily", limit = 10): Promise<TopConsumer[]> {
    const args = { metric, period_type: periodType, max_rows: limit };
    return callRows(this.#client, "get_top_consumers", args, TopConsumer, { get: true });
  }

  /** Who was denied tokens, or recorded more than their limit, in the period under way. Platform admins only. */
  getTenantExceedingQuota(periodType: PeriodType = "daily"): Promise<UsageSummary[]> {
    const args = { period_type: periodType };
    return callRows(this.#client, "get_tenants_exceeding_quota", args, UsageSummary, { get: true });
  }

  /** Rolls up what came since the last pass; pg_cron does so every minute. Service role only. */
  aggregateUsageMetrics(): Promise<RollupResult> {
    return callOne(this.#client, "aggregate_usage_metrics", {}, RollupResult);
  }

  /** Counts the hours of [from, to) anew from their events, then their days and months. Platform admins only. */
  recomputeUsageMetrics(from: Time, to: Time): Promise<RollupResult> {
    const args = { from_ts: iso(from), to_ts: iso(to) };
    return callOne(this.#client, "recompute_usage_metrics", args, RollupResult);
  }
}
