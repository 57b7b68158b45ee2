begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create temp table base as select date_trunc('day', now(), 'UTC') - interval '24 hours' as day;
create function pg_temp.record(p_tenant text, variadic p_at interval[]) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_agg(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', 'search', 'event_timestamp', day + at
  ))) from base, unnest(p_at) at
$$;
create function pg_temp.peaks(p_type text) returns bigint[] language sql as $$
  select array_agg(peak_qps order by period_start) from public.tenant_usage_metrics
  where tenant_id = tests.tenant_id('acme') and period_type = p_type
$$;

select pg_temp.record('acme', '00:00:59', '00:00:59.5', '00:01:00');
select pg_temp.record('rival', '00:00:59', '00:00:59', '00:00:59');
select aggregate_usage_metrics();
select is(pg_temp.peaks('hourly'), array[2]::bigint[], 'most events of one second, of one tenant');
select pg_temp.record('acme', '00:00:59.999999', '02:00:00');
select is(
  (select peak_qps from get_tenant_usage(tests.tenant_id('acme'), (select day from base), now(), 'daily') limit 1),
  3::bigint, 'those that wait included'
);
select aggregate_usage_metrics();
select is(pg_temp.peaks('hourly'), array[3, 1]::bigint[], 'whose events came in two passes');
select is(pg_temp.peaks('daily'), array[3]::bigint[], 'the day has that of its busiest hour');
select pg_temp.record('acme', '00:00:10', '00:00:10');
select aggregate_usage_metrics();
select is(pg_temp.peaks('hourly'), array[3, 1]::bigint[], 'a quieter second changes nothing');

select * from finish();
rollback;
