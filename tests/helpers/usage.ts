import { randomUUID } from "node:crypto";
import type { Sql } from "postgres";

/** An event as it is sent. */
export interface SentEvent {
  event_id: string;
  event_type: string;
  event_timestamp?: string;
  tokens_consumed?: number;
  cost_usd?: number;
  api_response_time_ms?: number;
  api_status_code?: number;
  quantity?: number;
  metadata?: { session_id?: string; direction?: string };
}

export interface RecordAnswer {
  accepted: number;
  duplicates: number;
  rejected: { index: number; reason: string; field?: string; event_id?: string }[];
}

export type PeriodType = "hourly" | "daily" | "monthly";
export const PERIOD_TYPES: readonly PeriodType[] = ["hourly", "daily", "monthly"];

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** The timestamp of `ms` milliseconds ago. */
export const ago = (ms: number, now = Date.now()) => new Date(now - ms).toISOString();

export async function newTenant(sql: Sql, plan = "trial"): Promise<string> {
  const [tenant] = await sql`select id from public.create_tenant(${`Tenant ${randomUUID()}`}, ${plan})`;
  return tenant?.id;
}

export async function record(sql: Sql, tenantId: string, events: SentEvent[]): Promise<RecordAnswer> {
  const [answer] = await sql<[RecordAnswer]>`
    select * from public.record_usage(${tenantId}, ${sql.json(events as never)})`;
  return answer;
}

/** A pass of the roll-ups: how many events it counted. */
export async function aggregate(sql: Sql): Promise<number> {
  const [answer] = await sql`select events_processed::int from public.aggregate_usage_metrics()`;
  return answer?.events_processed;
}

/** Counts everything anew; what the roll-ups hold must be the same before and after. */
export async function recompute(sql: Sql): Promise<void> {
  await sql`select public.recompute_usage_metrics('-infinity', 'infinity')`;
}

/** How many batches no pass has counted yet. */
export async function pendingBatches(sql: Sql, tenantIds: string[]): Promise<number> {
  const [pending] = await sql`
    select count(*)::int as batches from private.usage_batches where tenant_id = any (${tenantIds})`;
  return pending?.batches;
}

export interface StoredRollups {
  metrics: string[];
  quantities: string[];
  counts: string[];
}

/**
 * All that the roll-ups hold of some tenants, a text a row, in an order of their own (a tenant by its place in the list).
 * Of the additive counts, what is absent, none and an empty sketch is the same: nothing.
 */
export async function storedRollups(sql: Sql, tenantIds: string[]): Promise<StoredRollups> {
  const rows = async (query: Promise<Iterable<{ row?: string }>>) =>
    [...(await query)].map(({ row }) => `${row}`);
  const [metrics, quantities, counts] = await Promise.all([
    rows(sql`
      select concat_ws(' ', o.place, (to_jsonb(m) - 'metric_id' - 'tenant_id')::text) as row
      from public.tenant_usage_metrics m join unnest(${tenantIds}::uuid[]) with ordinality o (id, place) on o.id = m.tenant_id
      order by o.place, m.period_type, m.period_start`),
    rows(sql`
      select concat_ws(' ', o.place, (to_jsonb(u) - 'tenant_id')::text) as row
      from public.tenant_metric_usage u join unnest(${tenantIds}::uuid[]) with ordinality o (id, place) on o.id = u.tenant_id
      order by o.place, u.metric, u.period_type, u.period_start`),
    rows(sql`
      select concat_ws(' ', o.place, r.period_type, r.period_start, (
        select jsonb_object_agg(c.key, c.value) from jsonb_each(jsonb_strip_nulls(to_jsonb(r.counts))) c
        where c.value not in ('0', '{}')
      )::text) as row
      from private.usage_rollups r join unnest(${tenantIds}::uuid[]) with ordinality o (id, place) on o.id = r.tenant_id
      order by o.place, r.period_type, r.period_start`),
  ]);
  return { metrics, quantities, counts };
}

/** An event as it is stored. */
export interface StoredEvent {
  tenant_id: string;
  event_id: string;
  event_timestamp: Date;
  event_type: string;
  tokens_consumed: string;
  cost_usd: string | null;
  api_response_time_ms: string | null;
  api_status_code: number | null;
  quantity: string;
  metadata: { session_id?: string; direction?: string };
}

export const storedEvents = (sql: Sql, tenantIds: string[]) => sql<StoredEvent[]>`
  select * from public.tenant_usage_realtime where tenant_id = any (${tenantIds})`;

/** A period of a tenant as people read it, of both tables; numbers that may be fractions are texts in lowest terms. */
export interface Period {
  calls: number;
  successful: number;
  failed: number;
  rateLimited: number;
  errorRate: number;
  latencyAverage: number | null;
  sent: number;
  received: number;
  sessions: number;
  chatAverage: number | null;
  embeddings: number;
  embeddingTokens: number;
  searches: number;
  tokens: number;
  cost: string;
  denials: number;
  peak: number;
  quantities: Record<string, string>;
}

/** The latencies of a period in milliseconds, ascending. */
export interface CountedPeriod {
  period: Period;
  latencies: number[];
}

/** The metric to which the quantity of an event adds. */
const METRIC_OF: Record<string, string> = {
  chat_message: "chat_messages",
  embedding: "embeddings",
  execution: "executions",
  run_time: "run_minutes",
  analysis_run: "analysis_runs",
};

function periodStart(type: PeriodType, at: Date): number {
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  if (type === "monthly") return Date.UTC(year, month);
  return type === "daily" ? Date.UTC(year, month, day) : Date.UTC(year, month, day, at.getUTCHours());
}

export const periodKey = (tenantId: string, type: PeriodType, start: Date) =>
  `${tenantId} ${type} ${start.toISOString()}`;

/**
 * What the roll-ups must say of these events and denials, worked out on its own: no sketches, nothing added to anything that
 * was counted before.
 */
export function countPeriods(
  events: readonly StoredEvent[],
  denials: readonly { tenant_id: string; created_at: Date }[],
): Map<string, CountedPeriod> {
  const sessions = new Map<string, StoredEvent>();
  for (const event of events) {
    const { session_id } = event.metadata;
    if (event.event_type !== "chat_message" || !session_id) continue;
    const id = `${event.tenant_id} ${session_id}`;
    const first = sessions.get(id);
    if (!first || event.event_timestamp < first.event_timestamp) sessions.set(id, event);
  }
  const periods = new Map<string, CountedPeriod>();
  for (const type of PERIOD_TYPES) {
    const startOf = (tenant: string, at: Date) => periodKey(tenant, type, new Date(periodStart(type, at)));
    const eventsOf = groupBy(events, (event) => startOf(event.tenant_id, event.event_timestamp));
    const denialsOf = groupBy(denials, (denial) => startOf(denial.tenant_id, denial.created_at));
    const sessionsOf = groupBy([...sessions.values()], (first) =>
      startOf(first.tenant_id, first.event_timestamp),
    );
    for (const key of new Set([...eventsOf.keys(), ...denialsOf.keys()])) {
      const counts = [denialsOf.get(key)?.length ?? 0, sessionsOf.get(key)?.length ?? 0] as const;
      periods.set(key, countPeriod(eventsOf.get(key) ?? [], ...counts));
    }
  }
  return periods;
}

function countPeriod(events: readonly StoredEvent[], denials: number, sessions: number): CountedPeriod {
  const count = (is: (event: StoredEvent) => boolean) => events.filter(is).length;
  const sum = (values: (string | null)[], digits: number) =>
    values.reduce((total, value) => total + scaledInteger(value ?? "0", digits), 0n);
  const withCode = (is: (code: number) => boolean) =>
    count(({ api_status_code: code }) => code !== null && is(code));
  const chats = events.filter((event) => event.event_type === "chat_message");
  const embeddings = events.filter((event) => event.event_type === "embedding");
  const successful = withCode((code) => code < 400);
  const rateLimited = withCode((code) => code === 429);
  const failed = withCode((code) => code >= 400) - rateLimited;
  const calls = successful + rateLimited + failed;
  const tokens = events.reduce((total, event) => total + Number(event.tokens_consumed), 0);
  const latenciesOf = (some: readonly StoredEvent[]) =>
    some.flatMap(({ api_response_time_ms: latency }) => latency ?? []);
  const bySecond = groupBy(events, (event) => `${Math.floor(event.event_timestamp.getTime() / 1000)}`);

  const quantities: Record<string, string> = {};
  const byMetric = groupBy(events, (event) => METRIC_OF[event.event_type] ?? "");
  for (const [metric, some] of byMetric) {
    if (metric)
      quantities[metric] = decimal(
        sum(
          some.map((event) => event.quantity),
          6,
        ),
        6,
      );
  }
  quantities.tokens = `${tokens}`;
  quantities.api_calls = `${calls}`;
  for (const [metric, quantity] of Object.entries(quantities))
    if (quantity === "0") delete quantities[metric];

  return {
    latencies: latenciesOf(events)
      .map(Number)
      .sort((a, b) => a - b),
    period: {
      calls,
      successful,
      failed,
      rateLimited,
      errorRate: calls === 0 ? 0 : Math.round((failed / calls) * 1e6) / 1e6,
      latencyAverage: average(latenciesOf(events)),
      sent: count((event) => event.event_type === "chat_message" && event.metadata.direction !== "received"),
      received: count(
        (event) => event.event_type === "chat_message" && event.metadata.direction === "received",
      ),
      sessions,
      chatAverage: average(latenciesOf(chats)),
      embeddings: Number(
        sum(
          embeddings.map((event) => event.quantity),
          0,
        ),
      ),
      embeddingTokens: embeddings.reduce((total, event) => total + Number(event.tokens_consumed), 0),
      searches: count((event) => event.event_type === "search"),
      tokens,
      cost: decimal(
        sum(
          events.map((event) => event.cost_usd),
          10,
        ),
        10,
      ),
      denials,
      peak: Math.max(0, ...[...bySecond.values()].map((some) => some.length)),
      quantities,
    },
  };
}

/** Milliseconds, rounded to microseconds as the database rounds: a half goes up. */
function average(latencies: string[]): number | null {
  if (latencies.length === 0) return null;
  const total = latencies.reduce((sum, latency) => sum + scaledInteger(latency, 3), 0n);
  const count = BigInt(latencies.length);
  return Number((2n * total + count) / (2n * count)) / 1000;
}

/** `text` times 10^digits; further digits must be zeros. */
function scaledInteger(text: string, digits: number): bigint {
  const [whole = "0", fraction = ""] = text.split(".");
  if (/[^0]/.test(fraction.slice(digits))) throw new Error(`${text} has more than ${digits} digits`);
  return BigInt(whole + fraction.slice(0, digits).padEnd(digits, "0"));
}

function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  return trimmed(`${text.slice(0, -digits)}.${text.slice(-digits)}`);
}

const trimmed = (text: string) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

export interface SummarizedPeriod {
  period: Period;
  /** p50, p95 and p99. */
  percentiles: [number | null, number | null, number | null];
}

/** What tenant_usage_metrics and tenant_metric_usage say of some tenants. */
export async function storedPeriods(sql: Sql, tenantIds: string[]): Promise<Map<string, SummarizedPeriod>> {
  const quantityRows = await sql`
    select u.* from public.tenant_metric_usage u join public.metrics m on m.id = u.metric
    where u.tenant_id = any (${tenantIds}) and m.kind = 'counter'`;
  const keyOf = (row: Record<string, unknown>) =>
    periodKey(row.tenant_id as string, row.period_type as PeriodType, row.period_start as Date);
  const quantitiesOf = groupBy(quantityRows, keyOf);
  const rows = await sql`select * from public.tenant_usage_metrics where tenant_id = any (${tenantIds})`;
  const orNull = (value: string | null) => (value === null ? null : Number(value));
  const periods = rows.map((row): [string, SummarizedPeriod] => {
    const ofPeriod = quantitiesOf.get(keyOf(row)) ?? [];
    quantitiesOf.delete(keyOf(row));
    const period = {
      calls: Number(row.api_calls_total),
      successful: Number(row.api_calls_successful),
      failed: Number(row.api_calls_failed),
      rateLimited: Number(row.api_calls_rate_limited),
      errorRate: Number(row.error_rate),
      latencyAverage: orNull(row.api_latency_avg_ms),
      sent: Number(row.chat_messages_sent),
      received: Number(row.chat_messages_received),
      sessions: Number(row.chat_sessions_created),
      chatAverage: orNull(row.chat_avg_response_time_ms),
      embeddings: Number(row.embeddings_generated),
      embeddingTokens: Number(row.embeddings_tokens_used),
      searches: Number(row.semantic_searches_performed),
      tokens: Number(row.total_tokens_used),
      cost: trimmed(row.estimated_cost_usd),
      denials: Number(row.quota_exceeded_count),
      peak: Number(row.peak_qps),
      quantities: Object.fromEntries(ofPeriod.map(({ metric, quantity }) => [metric, trimmed(quantity)])),
    };
    const percentiles = [row.api_latency_p50_ms, row.api_latency_p95_ms, row.api_latency_p99_ms].map(orNull);
    return [keyOf(row), { period, percentiles: percentiles as SummarizedPeriod["percentiles"] }];
  });
  const stray = [...quantitiesOf.keys()];
  if (stray.length > 0) throw new Error(`quantities of periods without a roll-up: ${stray}`);
  return new Map(periods);
}

/** As percentile_cont: between the neighbours of the position. */
export function percentile(ascending: readonly number[], percent: number): number | null {
  const position = percent * (ascending.length - 1);
  const low = ascending[Math.floor(position / 100)];
  const high = ascending[Math.ceil(position / 100)];
  return low === undefined || high === undefined ? null : low + ((position % 100) / 100) * (high - low);
}

/** Whether a percentile is right: exact (but for its rounding) of up to 200 latencies, within 2 % of more. */
export function isPercentile(value: number | null, ascending: readonly number[], percent: number): boolean {
  const exact = percentile(ascending, percent);
  if (value === null || exact === null) return value === exact;
  return Math.abs(value - exact) <= (ascending.length > 200 ? 0.02 * exact : 0) + 0.000_501;
}
