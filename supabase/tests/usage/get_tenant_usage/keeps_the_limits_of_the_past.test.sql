begin;
select plan(13);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(p_id text, p_at timestamptz) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'search', 'event_timestamp', p_at, 'tokens_consumed', 1000
  )))
$$;
-- By how many days ago, in the tenant's time.
create function pg_temp.quota() returns table (age int, quota_limit bigint, quota_remaining bigint) language sql as $$
  select extract(day from date_trunc('day', private.tenant_now(u.tenant_id), 'UTC') - u.period_start)::int, u.quota_limit,
    u.quota_remaining
  from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity', 'daily') u
$$;

select pg_temp.record('a', now());
select pg_temp.record('b', now() - interval '2 days');
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, 10000::bigint, 10000::bigint), (2, 10000, 9000)',
  'what waits has the limit in force, and today what enforcement has left'
);
select consume_quota(tests.tenant_id('acme'), 'tokens', 3);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, 10000::bigint, 9997::bigint), (2, 10000, 9000)', 'and when it is counted, too'
);

update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select bag_eq(
  'select * from pg_temp.quota()', 'values (0, 500000::bigint, 499997::bigint), (2, 10000, 9000)',
  'another limit is at once that of the day under way, not of one that is over'
);
select pg_temp.record('c', now());
select pg_temp.record('d', now() - interval '2 days');
select pg_temp.record('e', now() - interval '3 days');
select bag_eq(
  'select * from pg_temp.quota()',
  'values (0, 500000::bigint, 499997::bigint), (2, 10000, 8000), (3, 500000, 499000)',
  'nor of what comes late to it, but of days that had none'
);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quota()',
  'values (0, 500000::bigint, 499997::bigint), (2, 10000, 8000), (3, 500000, 499000)', 'while it waits, and after'
);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', null);
select pg_temp.record('f', now() - interval '2 days');
select bag_eq(
  'select * from pg_temp.quota()',
  'values (0, null::bigint, null::bigint), (2, 10000, 7000), (3, 500000, 499000)', 'no limit is one, too'
);

-- What is over is so by the tenant's clock.
update public.tenants set clock_offset = '5 days', plan_id = 'trial' where id = tests.tenant_id('acme');
delete from public.tenant_limits;
select aggregate_usage_metrics();
select pg_temp.record('g', now() + interval '3 days');
select pg_temp.record('h', now() + interval '5 days');
select aggregate_usage_metrics();
update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select bag_eq(
  'select * from pg_temp.quota() where age <= 2', 'values (0, 500000::bigint, 500000::bigint), (2, 10000, 9000)',
  'a day to come is over when it is by the tenant''s clock'
);
select pg_temp.record('i', now() + interval '3 days');
select pg_temp.record('j', now() + interval '5 days');
select bag_eq(
  'select * from pg_temp.quota() where age <= 2', 'values (0, 500000::bigint, 500000::bigint), (2, 10000, 8000)',
  'also where events wait'
);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quota() where age <= 2', 'values (0, 500000::bigint, 500000::bigint), (2, 10000, 8000)',
  'and when they do not'
);
select bag_eq(
  $$ select quota_limit, quota_remaining from public.tenant_usage_metrics
     where period_type = 'daily' and period_start = date_trunc('day', now() + interval '3 days', 'UTC') $$,
  'values (10000::bigint, 8000::bigint)', 'which is what the pass wrote'
);
select bag_eq(
  'select * from pg_temp.quota() where age = 5', 'values (5, 500000::bigint, 498000::bigint)',
  'of the real day under way, which is over, it is that of the last pass'
);
select is(
  (select (quota_limit, quota_remaining)::text from get_today_usage(tests.tenant_id('acme'))), '(500000,500000)',
  'today is the tenant''s'
);
select is(
  (select count(*) from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity', 'monthly')
   where quota_limit is not null),
  0::bigint, 'a month has no limit of its own'
);

select * from finish();
rollback;
