begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select setseed(0.1);
create temp table events as select * from tests.random_events(1200);
select record_usage(tests.tenant_id('acme'), jsonb_agg(event)) from events;
select record_usage(tests.tenant_id('rival'),
  '[{"event_id": "e1", "event_type": "chat_message", "metadata": {"session_id": "s7"}}]');
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
select aggregate_usage_metrics();

-- The same in the plainest SQL.
create temp table periods as
select p.type as period_type, p.field, s.first_ts, e.*, date_trunc(p.field, e.event_timestamp, 'UTC') as period_start
from (values ('hourly', 'hour'), ('daily', 'day'), ('monthly', 'month')) as p (type, field)
cross join public.tenant_usage_realtime e
left join (
  select metadata ->> 'session_id', min(event_timestamp) from public.tenant_usage_realtime
  where tenant_id = tests.tenant_id('acme') and event_type = 'chat_message' group by 1
) as s (session_id, first_ts) on s.session_id = e.metadata ->> 'session_id' and e.event_type = 'chat_message'
where e.tenant_id = tests.tenant_id('acme');
create temp table expected as
select period_type, period_start,
  (period_start at time zone 'UTC' + ('1 ' || field)::interval) at time zone 'UTC' as period_end,
  count(api_status_code) as api_calls_total,
  count(*) filter (where api_status_code between 200 and 399) as api_calls_successful,
  count(*) filter (where api_status_code >= 400 and api_status_code not in (429)) as api_calls_failed,
  count(*) filter (where api_status_code = 429) as api_calls_rate_limited,
  round(avg(api_response_time_ms), 3) as api_latency_avg_ms,
  count(*) filter (where event_type = 'chat_message' and coalesce(metadata ->> 'direction', '') <> 'received')
    as chat_messages_sent,
  count(*) filter (where event_type = 'chat_message' and metadata ->> 'direction' = 'received') as chat_messages_received,
  count(distinct metadata ->> 'session_id') filter (where first_ts = event_timestamp) as chat_sessions_created,
  round(avg(api_response_time_ms) filter (where event_type = 'chat_message'), 3) as chat_avg_response_time_ms,
  coalesce(sum(quantity) filter (where event_type = 'embedding'), 0)::bigint as embeddings_generated,
  coalesce(sum(tokens_consumed) filter (where event_type = 'embedding'), 0)::bigint as embeddings_tokens_used,
  count(*) filter (where event_type = 'search') as semantic_searches_performed,
  sum(tokens_consumed)::bigint as total_tokens_used,
  coalesce(sum(cost_usd), 0) as estimated_cost_usd,
  case when period_type = 'daily' then 10000 end::bigint as quota_limit,
  case when period_type = 'daily' then greatest(10000 - sum(tokens_consumed), 0) end::bigint as quota_remaining,
  count(*) filter (where api_status_code in (400, 404, 500, 599)) as error_count,
  round(coalesce(
    count(*) filter (where api_status_code in (400, 404, 500, 599))::numeric / nullif(count(api_status_code), 0), 0
  ), 6) as error_rate
from periods group by period_type, period_start, field;

select bag_eq(
  $$ select to_jsonb(m) - array[
       'metric_id', 'tenant_id', 'api_latency_p50_ms', 'api_latency_p95_ms', 'api_latency_p99_ms', 'peak_qps',
       'quota_exceeded_count'
     ]
     from public.tenant_usage_metrics m where tenant_id = tests.tenant_id('acme')
       and exists (select from expected e where e.period_type = m.period_type and e.period_start = m.period_start) $$,
  'select to_jsonb(e) from expected e',
  'every column of every hour, day and month'
);
create temp table percentiles as
select e.period_type, e.period_start, e.count, p.ordinal, p.value as exact,
  (array[m.api_latency_p50_ms, m.api_latency_p95_ms, m.api_latency_p99_ms])[p.ordinal] as found
from (
  select period_type, period_start, count(api_response_time_ms),
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by api_response_time_ms::float8) as percentiles
  from periods group by 1, 2
) as e
join public.tenant_usage_metrics m using (period_type, period_start)
cross join lateral unnest(e.percentiles) with ordinality p (value, ordinal)
where m.tenant_id = tests.tenant_id('acme');
select is_empty(
  'select * from percentiles where count <= 200 and found is distinct from round(exact::numeric, 3)',
  'percentiles, exact up to 200 latencies'
);
select is_empty(
  'select * from percentiles where count > 200 and (found is null or abs(found / exact - 1) > 0.0201)', 'and within 2 % beyond'
);
select bag_eq(
  $$ select period_type, period_start, peak_qps from public.tenant_usage_metrics m
     where tenant_id = tests.tenant_id('acme')
       and exists (select from expected e where e.period_type = m.period_type and e.period_start = m.period_start) $$,
  $$ select period_type, period_start, max(n) from (
       select period_type, period_start, count(*) as n from periods group by 1, 2, date_trunc('second', event_timestamp)
     ) as s group by 1, 2 $$,
  'and the busiest second'
);
select bag_eq(
  $$ select metric, period_type, period_start, quantity from public.tenant_metric_usage
     where tenant_id = tests.tenant_id('acme') $$,
  $$ select m.metric, p.period_type, p.period_start, m.quantity
     from (
       select period_type, period_start, sum(tokens_consumed), count(api_status_code),
         sum(quantity) filter (where event_type = 'chat_message'), sum(quantity) filter (where event_type = 'embedding'),
         sum(quantity) filter (where event_type = 'execution'), sum(quantity) filter (where event_type = 'run_time'),
         sum(quantity) filter (where event_type = 'analysis_run')
       from periods group by 1, 2
     ) as p (period_type, period_start, tokens, calls, messages, embeddings, executions, minutes, runs)
     cross join lateral (values ('tokens', tokens), ('api_calls', calls), ('chat_messages', messages), ('embeddings', embeddings),
       ('executions', executions), ('run_minutes', minutes), ('analysis_runs', runs)) as m (metric, quantity)
     where m.quantity > 0 $$,
  'each metric has what its events add'
);
select bag_eq(
  $$ select period_type, period_start, quota_exceeded_count from public.tenant_usage_metrics
     where tenant_id = tests.tenant_id('acme') and quota_exceeded_count > 0 $$,
  $$ select type, date_trunc(field, now(), 'UTC'), 1::bigint
     from (values ('hourly', 'hour'), ('daily', 'day'), ('monthly', 'month')) as p (type, field) $$,
  'a denial is counted when it happened'
);

select * from finish();
rollback;
