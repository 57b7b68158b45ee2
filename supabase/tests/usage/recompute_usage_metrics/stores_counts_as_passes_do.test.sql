begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(p_id text, p_more jsonb) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'search', 'event_timestamp', now() - interval '49 hours 30 minutes'
  ) || p_more))
$$;
create function pg_temp.state() returns setof jsonb language sql as $$ select to_jsonb(r) from private.usage_rollups r $$;

select pg_temp.record('a', '{"tokens_consumed": 3}');
select aggregate_usage_metrics();
select pg_temp.record('b', '{}');
select aggregate_usage_metrics();
create temp table before as select * from pg_temp.state() s;
select is_empty($$ select from before where s -> 'counts' -> 'latency' <> 'null' $$, 'without latencies there is no sketch');
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq('select pg_temp.state()', 'select * from before', 'counted in two passes or anew, the counts are the same');

select pg_temp.record('c', '{"api_response_time_ms": 7}');
select aggregate_usage_metrics();
delete from before;
insert into before select * from pg_temp.state() s;
select is(
  (select array_agg(distinct s -> 'counts' -> 'latency') from before), array['{"counts": [1], "latencies": [7]}'::jsonb],
  'one latency makes one'
);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq('select pg_temp.state()', 'select * from before', 'the same, too');

select * from finish();
rollback;
