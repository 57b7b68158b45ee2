import type { Sql } from "postgres";

/** Tenants that share the events of a history. */
export const TENANTS = 100;

/**
 * A month of usage, written past record_usage, since only its size matters here: `count` events of 100 tenants and their
 * keys, spread evenly over the last 29 days, and not rolled up.
 */
export async function writeHistory(sql: Sql, count: number): Promise<void> {
  await sql`set synchronous_commit = off`;
  await sql`select private.ensure_usage_partitions(30, 1)`;
  await sql`select public.create_tenant('History ' || i, 'pro') from generate_series(1, ${TENANTS}) i`;
  const step = 1_000_000;
  for (let from = 0; from < count; from += step) {
    await sql`
      insert into public.tenant_usage_realtime (
        tenant_id, event_timestamp, event_id, event_type, tokens_consumed, cost_usd, api_response_time_ms,
        api_status_code, metadata, batch_id
      )
      select t.ids[1 + i % ${TENANTS}],
        now() - interval '29 days' + i * (interval '29 days' / ${count}::float8), 'history-' || i,
        (array['api_call', 'api_call', 'chat_message', 'embedding', 'search'])[1 + i % 5], 150, 0.0003,
        round(exp(3 + 2 * random())::numeric, 3), case i % 50 when 0 then 500 else 200 end,
        case i % 5 when 2 then jsonb_build_object('session_id', i / 1000) else '{}' end, -1 - i / 500
      from generate_series(${from}::int, ${Math.min(from + step, count) - 1}::int) i
      cross join (select array_agg(id) as ids from public.tenants where name like 'History %') t`;
  }
  await sql`
    insert into private.usage_event_keys (tenant_id, event_id, recorded_at)
    select tenant_id, event_id, event_timestamp from public.tenant_usage_realtime where event_id like 'history-%'`;
  await sql`vacuum analyze`;
  await sql`reset synchronous_commit`;
}
