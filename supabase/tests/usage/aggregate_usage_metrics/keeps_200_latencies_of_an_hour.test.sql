begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(p_from int, p_to int) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_agg(jsonb_build_object(
    'event_id', i::text, 'event_type', 'search',
    'event_timestamp', date_trunc('day', now(), 'UTC') - interval '5 hours' + i * interval '1 second',
    'api_response_time_ms', round(ln(i + 1::numeric) * 100, 3)
  ))) from generate_series(p_from, p_to) i
$$;
create function pg_temp.found() returns numeric[] language sql as $$
  select array[api_latency_avg_ms, api_latency_p50_ms, api_latency_p95_ms, api_latency_p99_ms]
  from public.tenant_usage_metrics where period_type = 'hourly'
$$;
create function pg_temp.exact() returns numeric[] language sql as $$
  select round(avg(api_response_time_ms), 3)
    || array(
      select round(p::numeric, 3)
      from unnest(percentile_cont(array[0.5, 0.95, 0.99]) within group (order by api_response_time_ms::float8)) p
    )
  from public.tenant_usage_realtime
$$;

select pg_temp.record(1, 200);
select aggregate_usage_metrics();
select is(pg_temp.found(), pg_temp.exact(), '200 latencies of one pass have exact percentiles');
select is(
  (select count(distinct l) from private.usage_rollups r, unnest((r.counts).latency.latencies) l), 200::bigint,
  'all of them are kept'
);
select pg_temp.record(201, 201);
select aggregate_usage_metrics();
select isnt((pg_temp.found())[2:4], (pg_temp.exact())[2:4], 'one more and they are rounded');
select is((pg_temp.found())[1], (pg_temp.exact())[1], 'but not their mean');
select is_empty(
  'select found, exact from unnest(pg_temp.found(), pg_temp.exact()) p (found, exact) where abs(found / exact - 1) > 0.0201',
  'by 2 % at most'
);

select * from finish();
rollback;
