begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
-- Denied on a day that no event has made, before and after days that have some.
update public.tenants set clock_offset = '20 days' where id = tests.tenant_id('acme');
update public.tenants set clock_offset = '25 days' where id = tests.tenant_id('rival');
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
select record_usage(tests.tenant_id('rival'), '[{"event_id": "a", "event_type": "search", "tokens_consumed": 5}]');
select consume_quota(tests.tenant_id('rival'), 'tokens', 10001);
select aggregate_usage_metrics();
create function pg_temp.state() returns setof jsonb language sql as $$
  select to_jsonb(m) from public.tenant_usage_metrics m
  union all select to_jsonb(u) from public.tenant_metric_usage u
  union all select to_jsonb(r) from private.usage_rollups r
$$;
create temp table before as select * from pg_temp.state() s;

select is_empty(
  $$ select from private.usage_partitions()
     where now() + interval '20 days' >= starts_at and now() + interval '20 days' < ends_at $$,
  'a day without a partition'
);
select is(
  (select quota_exceeded_count from public.tenant_usage_metrics
   where tenant_id = tests.tenant_id('acme') and period_type = 'daily'),
  1::bigint, 'has its denials'
);
select is((select events_processed from recompute_usage_metrics('-infinity', 'infinity')), 1::bigint, 'when all is counted anew');
select bag_eq('select pg_temp.state()', 'select * from before', 'they stay');
select is(
  (select recompute_usage_metrics(now() + interval '20 days', now() + interval '20 days 1 hour')::text), '(0,0)',
  'so when the day itself is'
);
select bag_eq('select pg_temp.state()', 'select * from before', 'they stay, too');
update private.usage_rollups set counts.quota_exceeded_count = 9 where tenant_id = tests.tenant_id('rival');
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq('select pg_temp.state()', 'select * from before', 'while those of a day with events are counted by their receipts');

select * from finish();
rollback;
