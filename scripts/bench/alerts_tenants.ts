import type { Database } from "./billing.ts";

/** What the rules of each tenant watch. */
export const RULES = [
  "usage_threshold",
  "quota_warning",
  "cost_spike",
  "rate_limit_breach",
  "execution_failure",
];
const EVENTS_A_DAY = 24;

export interface Watched extends Database {
  tenants: number;
  /** How many days of usage and denials are stored. */
  days: number;
}

/**
 * Tenants on Pro with five rules and a webhook each, who use a third of every quota. Their usage is spread evenly over the
 * days, an event an hour, with the roll-ups that rules read; each day ended with a denial. Written past the functions,
 * since only its size matters here.
 */
export async function writeWatched({ sql, tenants, days }: Watched): Promise<void> {
  console.error(`writing ${tenants.toLocaleString("en-US")} tenants with ${days} days …`);
  await sql`set synchronous_commit = off`;
  await sql`select private.ensure_usage_partitions(${days + 1}, 1)`;
  await sql`
    insert into public.tenants (name, slug, plan_id)
    select 'Watched ' || i, 'watched-' || i, 'pro' from generate_series(1, ${tenants}::int) i`;
  const watched = sql`public.tenants t where t.name like 'Watched %'`;
  await sql`
    insert into public.alert_channels (tenant_id, type, name, config)
    select t.id, 'webhook', 'Bench', '{"url": "https://example.com/hook"}' from ${watched}`;
  await sql`
    insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
    select e.tenant_id, e.metric, e.period, '', private.window_start(e.period, now()), e.limit_value / 3
    from public.entitlements e
    where e.limit_value > 0 and e.tenant_id in (select t.id from ${watched})`;
  await sql.begin(async (t) => {
    await t`set local session_replication_role = replica`; // no triggers: what is stored here needs none
    await t`
      insert into public.alert_rules (tenant_id, name, type)
      select t.id, r.type, r.type from unnest(${RULES}::text[]) r (type), ${watched}`;
    const count = tenants * EVENTS_A_DAY * days;
    await t`
      insert into public.tenant_usage_realtime (
        tenant_id, event_timestamp, event_id, event_type, tokens_consumed, cost_usd, api_response_time_ms, api_status_code,
        batch_id
      )
      select t.ids[1 + i % ${tenants}], now() - (i + 1) * (${days} * interval '1 day' / ${count}::float8), 'history-' || i,
        'api_call', 150, 0.0003, 12.5, 200, -1 - i / 500
      from generate_series(0, ${count - 1}::int) i
      cross join (select array_agg(t.id) as ids from ${watched}) t`;
    await t`
      insert into public.quota_decisions (
        tenant_id, metric, period, subject, amount, allowed, reason, limit_value, used, window_start, windows, plan_id,
        is_first, created_at
      )
      select t.id, 'api_calls', 'minute', '', 1, false, 'quota_exceeded', 120, 120, d.at, '[]', 'pro', true, d.at
      from generate_series(1, ${days}::int) n
      cross join lateral (select date_trunc('minute', now()) - n * interval '1 day') d (at), ${watched}`;
    for (const [type, unit] of [
      ["hourly", "hour"],
      ["daily", "day"],
    ] as const) {
      await t`
        insert into public.tenant_usage_metrics (
          tenant_id, period_type, period_start, period_end, api_calls_total, api_calls_successful, api_calls_failed,
          api_calls_rate_limited, chat_messages_sent, chat_messages_received, chat_sessions_created, embeddings_generated,
          embeddings_tokens_used, semantic_searches_performed, total_tokens_used, estimated_cost_usd, quota_exceeded_count,
          error_count, error_rate, peak_qps
        )
        select e.tenant_id, ${type}, s.at, s.at + ${`1 ${unit}`}::interval, count(*), count(*), 0, 0, 0, 0, 0, 0, 0, 0,
          sum(e.tokens_consumed), sum(e.cost_usd), 0, 0, 0, 1
        from public.tenant_usage_realtime e
        cross join lateral (select date_trunc(${unit}, e.event_timestamp, 'UTC')) s (at)
        group by e.tenant_id, s.at`;
    }
  });
  await sql`vacuum analyze`;
  await sql`reset synchronous_commit`;
}

/** Lets one tenant in a hundred, others each time, cross each of its rules once, and those of the time before no more. */
export async function crossRules({ sql }: Watched, round: number): Promise<void> {
  await sql.begin(async (t) => {
    await t`
      create temporary table crossing on commit drop as
      select t.id, substr(t.slug, 9)::int % 100 = ${round} as is_beyond from public.tenants t
      where t.slug like 'watched-%' and substr(t.slug, 9)::int % 100 in (${round}::int, ${round - 1}::int)`;
    await t`
      update private.quota_counters c
      set used = 500000 * case when x.is_beyond then 0.9 else 0.3 end
      from crossing x where c.tenant_id = x.id and c.metric = 'tokens' and c.period = 'day'`;
    await t`
      update public.tenant_usage_metrics m
      set estimated_cost_usd = m.estimated_cost_usd * case when x.is_beyond then 100 else 0.01 end
      from crossing x
      where m.tenant_id = x.id and m.period_type = 'daily' and m.period_start = date_trunc('day', now(), 'UTC')`;
    await t`delete from public.tenant_usage_realtime where event_id like 'failed-%'`;
    await t`
      insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, api_status_code, batch_id)
      select x.id, now() - n * interval '1 s', 'failed-' || n, 'api_call', 500, -1
      from crossing x, generate_series(1, 6) n where x.is_beyond`;
    await t`delete from public.quota_decisions where created_at > now() - interval '2 hours'`;
    await t`
      insert into public.quota_decisions (
        tenant_id, metric, period, subject, amount, allowed, reason, limit_value, used, window_start, windows, plan_id, is_first
      )
      select x.id, 'api_calls', 'minute', '', 1, false, 'quota_exceeded', 120, 120, date_trunc('minute', now()), '[]', 'pro', true
      from crossing x where x.is_beyond`;
  });
}
