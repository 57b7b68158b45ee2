begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.record(p_tenant text, p_id text) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'search', 'event_timestamp', now(), 'tokens_consumed', 20000
  )))
$$;
create function pg_temp.quota() returns table (tenant_id uuid, quota_limit bigint, quota_remaining bigint) language sql as $$
  select tenant_id, quota_limit, quota_remaining from get_multi_tenant_stats()
$$;
create function pg_temp.of_today() returns table (tenant_id uuid, quota_limit bigint, quota_remaining bigint) language sql as $$
  select u.tenant_id, u.quota_limit, u.quota_remaining from public.tenants t, get_today_usage(t.id) u
$$;

select pg_temp.record(name, 'a') from unnest(array['acme', 'rival']) name;
select consume_quota(tests.tenant_id('acme'), 'tokens', 7);
select bag_eq(
  'select * from pg_temp.quota()',
  $$ values (tests.tenant_id('acme'), 10000::bigint, 9993::bigint), (tests.tenant_id('rival'), 10000, 10000) $$,
  'what enforcement has left of the limit in force'
);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quota()',
  $$ values (tests.tenant_id('acme'), 10000::bigint, 9993::bigint), (tests.tenant_id('rival'), 10000, 10000) $$,
  'whether it is counted or not'
);
update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select bag_eq(
  'select * from pg_temp.quota()',
  $$ values (tests.tenant_id('acme'), 500000::bigint, 499993::bigint), (tests.tenant_id('rival'), 10000, 10000) $$,
  'of each tenant''s own, and at once'
);
select bag_eq('select * from pg_temp.quota()', 'select * from pg_temp.of_today()', 'as the tenants read it');
select pg_temp.record('acme', 'b');
select bag_eq('select * from pg_temp.quota()', 'select * from pg_temp.of_today()', 'where events wait, too');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', null);
select bag_eq(
  'select * from pg_temp.quota()',
  $$ values (tests.tenant_id('acme'), null::bigint, null::bigint), (tests.tenant_id('rival'), 10000, 10000) $$,
  'and without a limit'
);

-- For a tenant whose clock is ahead, the real day is over.
update public.tenants set clock_offset = '5 days', plan_id = 'pro' where id = tests.tenant_id('rival');
select bag_eq(
  $$ select quota_limit, quota_remaining from pg_temp.quota() where tenant_id = tests.tenant_id('rival') $$,
  'values (10000::bigint, 0::bigint)', 'a day that is over by the tenant''s clock keeps its limit'
);
select pg_temp.record('rival', 'c');
select bag_eq(
  $$ select quota_limit, quota_remaining from pg_temp.quota() where tenant_id = tests.tenant_id('rival') $$,
  'values (10000::bigint, 0::bigint)', 'while events of it wait, too'
);

select * from finish();
rollback;
