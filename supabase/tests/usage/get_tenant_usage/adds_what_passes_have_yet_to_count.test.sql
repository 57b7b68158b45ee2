begin;
select plan(11);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'pro');
select setseed(0.5);
create function pg_temp.read() returns table (source text, usage jsonb) language sql as $$
  select 'usage', to_jsonb(u) from public.tenants t, unnest(array['hourly', 'daily', 'monthly']) type,
    get_tenant_usage(t.id, '-infinity', 'infinity', type) u
  union all select 'today', to_jsonb(u) from public.tenants t, get_today_usage(t.id) u
  union all select 'stats', to_jsonb(u) from unnest(array['hourly', 'daily', 'monthly']) type, get_multi_tenant_stats(type) u
  union all select 'exceeding', to_jsonb(u)
  from unnest(array['hourly', 'daily', 'monthly']) type, get_tenants_exceeding_quota(type) u
  union all select 'top', to_jsonb(u) from unnest(array['hourly', 'daily', 'monthly']) type,
    unnest(array['tokens', 'api_calls', 'chat_messages', 'embeddings', 'executions', 'cost']) metric,
    get_top_consumers(metric, type) u
$$;
-- An older event of a session, a second that is shared, and things of today.
create function pg_temp.record(p_call text) returns void language sql as $$
  select record_usage(t.id, jsonb_agg(event || jsonb_build_object('event_id', p_call || ' ' || i)))
  from public.tenants t, (select * from tests.random_events(300)) e group by t.id;
  select record_usage(t.id, jsonb_agg(jsonb_build_object(
    'event_id', p_call || ' now ' || i, 'event_type', type, 'event_timestamp', now(), 'tokens_consumed', 999, 'cost_usd', i,
    'api_status_code', 200, 'api_response_time_ms', i, 'metadata', '{"session_id": "s1"}'::jsonb
  ))) from public.tenants t, unnest(array['chat_message', 'embedding', 'execution']) with ordinality e (type, i) group by t.id;
  select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
  select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
$$;

select is((select count(*) from pg_temp.read() where source <> 'today'), 0::bigint, 'nothing was used');
select pg_temp.record('first');
create temp table tail as select * from pg_temp.read();
select is_empty('select from public.tenant_usage_metrics', 'what waits to be counted');
select aggregate_usage_metrics();
select is(
  (select array_agg(n order by source) from (select source, count(*) >= 2 from tail group by source) as s (source, n)),
  array[true, true, true, true, true], 'is in every answer'
);
select bag_eq('select * from pg_temp.read()', 'select * from tail', 'as it is when it has been');
select pg_temp.record('second');
delete from tail;
insert into tail select * from pg_temp.read();
select bag_eq('select * from pg_temp.read()', 'select * from tail', 'reads alike twice');
select aggregate_usage_metrics();
select bag_eq('select * from pg_temp.read()', 'select * from tail', 'is added to what is counted');
select bag_eq(
  $$ select usage - array['quota_limit', 'quota_remaining'] from pg_temp.read() where source = 'usage' $$,
  $$ select to_jsonb(m) - array['metric_id', 'quota_limit', 'quota_remaining'] from public.tenant_usage_metrics m $$,
  'usage is that of the table'
);
select results_eq(
  $$ select period_start from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity', 'hourly') $$,
  $$ select period_start from public.tenant_usage_metrics
     where tenant_id = tests.tenant_id('acme') and period_type = 'hourly' order by 1 $$,
  'in order of time'
);
select pg_temp.record('third');
select results_eq(
  $$ select period_start from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity', 'hourly') $$,
  $$ select distinct date_trunc('hour', event_timestamp, 'UTC') from public.tenant_usage_realtime
     where tenant_id = tests.tenant_id('acme') order by 1 $$,
  'a row for each hour, be it counted or not'
);
select is(
  (select (quota_limit, quota_remaining)::text from get_today_usage(tests.tenant_id('acme'))), '(10000,9997)',
  'the quota of today is what enforcement has left'
);
select is(
  (select (quota_limit, quota_remaining)::text
   from get_tenant_usage(tests.tenant_id('acme'), now(), now() + interval '1 microsecond', 'daily')),
  '(10000,9997)', 'wherever it is read'
);

select * from finish();
rollback;
