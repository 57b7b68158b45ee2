begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(p_id text, p_at timestamptz) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'search', 'event_timestamp', p_at, 'tokens_consumed', 1000
  )))
$$;
create function pg_temp.quota() returns table (age int, quota_limit bigint, quota_remaining bigint) language sql as $$
  select extract(day from date_trunc('day', now(), 'UTC') - period_start)::int, quota_limit, quota_remaining
  from public.tenant_usage_metrics where period_type = 'daily'
$$;
-- A limit of each subject is none of the tenant's.
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'tokens', 'day', 'subject', 5), (tests.tenant_id('acme'), 'tokens', 'month', 'subject', 6);
select pg_temp.record('a', now());
select pg_temp.record('b', now() - interval '2 days');
select aggregate_usage_metrics();
select bag_eq('select * from pg_temp.quota()', 'values (0, 10000::bigint, 9000::bigint), (2, 10000, 9000)', 'the limit in force');

update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select pg_temp.record('c', now());
select pg_temp.record('d', now() - interval '2 days');
select pg_temp.record('e', now() - interval '3 days');
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, 500000::bigint, 498000::bigint), (2, 10000, 8000), (3, 500000, 499000)',
  'changes for the day under way, not for one that is over'
);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, 500000::bigint, 498000::bigint), (2, 10000, 8000), (3, 500000, 499000)',
  'nor when that is counted anew'
);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', null);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, null::bigint, null::bigint), (2, 10000, 8000), (3, 500000, 499000)',
  'without a limit there is none'
);
select is_empty(
  $$ select from public.tenant_usage_metrics
     where period_type <> 'daily' and (quota_limit is not null or quota_remaining is not null) $$,
  'nor is there one for other windows'
);

select * from finish();
rollback;
