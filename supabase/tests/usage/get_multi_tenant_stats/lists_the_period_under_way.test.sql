begin;
select plan(10);

select tests.create_tenant(name, 'trial') from unnest(array['acme', 'rival', 'third', 'idle']) name;
create function pg_temp.record(p_tenant text, p_at timestamptz, p_tokens int) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', 'search', 'event_timestamp', p_at, 'tokens_consumed', p_tokens
  )))
$$;
create function pg_temp.stats(p_type text, p_rows int default 100) returns text language sql as $$
  select string_agg(t.name || ': ' || s.total_tokens_used, ', ' order by s.ordinality)
  from get_multi_tenant_stats(p_type, p_rows) with ordinality s
  join public.tenants t on t.id = s.tenant_id
$$;

select is(pg_temp.stats('daily'), null, 'nobody used anything');
select pg_temp.record('acme', now(), 10);
select pg_temp.record('rival', now(), 30);
select pg_temp.record('idle', now() - interval '29 days', 1000);
select aggregate_usage_metrics();
select pg_temp.record('acme', now(), 25);
select pg_temp.record('third', now(), 1);
select is(pg_temp.stats('daily'), 'acme: 35, rival: 30, third: 1', 'who did, most tokens first');
select is(pg_temp.stats('hourly'), 'acme: 35, rival: 30, third: 1', 'in this hour');
select is(left(pg_temp.stats('monthly'), 23), left(case
  when date_trunc('month', now() - interval '29 days', 'UTC') = date_trunc('month', now(), 'UTC')
  then 'idle: 1000, acme: 35, rival: 30' else 'acme: 35, rival: 30, third: 1'
end, 23), 'or month');
select is(pg_temp.stats('daily', 2), 'acme: 35, rival: 30', 'no more than asked for');
select is(
  (select array_agg(distinct (period_type, period_start, period_end)::text) from get_multi_tenant_stats()),
  array[('daily', date_trunc('day', now(), 'UTC'), date_trunc('day', now(), 'UTC') + interval '24 hours')::text],
  'the day when nothing is said'
);
select bag_eq(
  $$ select to_jsonb(s) - array['quota_limit', 'quota_remaining'] from get_multi_tenant_stats() s
     where tenant_id = tests.tenant_id('acme') $$,
  $$ select to_jsonb(t) - array['quota_limit', 'quota_remaining'] from get_today_usage(tests.tenant_id('acme')) t $$,
  'as the tenant reads it'
);
select is(tests.error_of($$ select get_multi_tenant_stats('weekly') $$), 'PT400 invalid_period_type', 'not by the week');
select is(tests.error_of($$ select get_multi_tenant_stats('daily', 1001) $$), 'PT400 invalid_max_rows', 'nor without end');
select pg_temp.record('third', now(), 34);
select is(
  (select array_agg(tenant_id) from get_multi_tenant_stats() where total_tokens_used = 35),
  (select array_agg(id order by id) from unnest(array[tests.tenant_id('acme'), tests.tenant_id('third')]) id),
  'who used as much is in the order of ids'
);

select * from finish();
rollback;
