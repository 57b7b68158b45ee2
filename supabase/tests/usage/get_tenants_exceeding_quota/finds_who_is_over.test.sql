begin;
select plan(7);

select tests.create_tenant(name, 'trial') from unnest(array['acme', 'rival', 'third', 'idle']) name;
select tests.create_tenant('large', 'enterprise');
create function pg_temp.record(p_tenant text, p_at timestamptz, p_tokens int) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', 'search', 'event_timestamp', p_at, 'tokens_consumed', p_tokens
  )))
$$;
create function pg_temp.exceeding(p_type text default 'daily') returns text language sql as $$
  select string_agg(t.name || ': ' || e.quota_exceeded_count, ', ') from get_tenants_exceeding_quota(p_type) e
    join public.tenants t on t.id = e.tenant_id
$$;

select pg_temp.record('acme', now(), 10001);
select pg_temp.record('third', now(), 10000);
select pg_temp.record('idle', now() - interval '2 days', 20000);
select pg_temp.record('large', now(), 2000000);
select consume_quota(tests.tenant_id('rival'), 'tokens', 10001);
select consume_quota(tests.tenant_id('third'), 'chat_messages', 101);
select is(pg_temp.exceeding(), 'rival: 1, acme: 0', 'who was denied, and who used more than their limit');
select aggregate_usage_metrics();
select is(pg_temp.exceeding(), 'rival: 1, acme: 0', 'when it is counted, too');
select is(pg_temp.exceeding('hourly'), 'rival: 1', 'there is no limit of an hour');
select is(pg_temp.exceeding('monthly'), 'rival: 1', 'nor of a month');
select pg_temp.record('third', now(), 1);
select is(pg_temp.exceeding(), 'rival: 1, acme: 0, third: 0', 'one more is over');
select is(tests.error_of($$ select get_tenants_exceeding_quota('weekly') $$), 'PT400 invalid_period_type', 'not by the week');
select is(tests.error_of($$ select get_tenants_exceeding_quota(null) $$), 'PT400 invalid_period_type', 'nor without a period');

select * from finish();
rollback;
