begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'pro');
select setseed(0.3);
create function pg_temp.state() returns setof jsonb language sql as $$
  select to_jsonb(m) from public.tenant_usage_metrics m
  union all
  select to_jsonb(u) from public.tenant_metric_usage u
  union all
  select to_jsonb(c) from private.chat_sessions c
  union all
  -- Nothing and 0 are the same to whoever adds up.
  select (
    select jsonb_object_agg(c.key, c.value)
      || jsonb_build_object('tenant', r.tenant_id, 'type', r.period_type, 'start', r.period_start)
    from jsonb_each(jsonb_strip_nulls(to_jsonb(r.counts))) c where c.value not in ('0', '{}')
  )
  from private.usage_rollups r
$$;
do $$
begin
  for v_call in 1..12 loop
    perform record_usage(tests.tenant_id('acme'), jsonb_agg(event || jsonb_build_object('event_id', v_call || ' ' || i)))
    from tests.random_events(60);
    perform record_usage(tests.tenant_id('rival'), jsonb_agg(event || jsonb_build_object('event_id', v_call || ' ' || i)))
    from tests.random_events(20);
    perform aggregate_usage_metrics();
  end loop;
end
$$;
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
select record_usage(tests.tenant_id('acme'), '[{"event_id": "now", "event_type": "search", "tokens_consumed": 5}]');
select aggregate_usage_metrics();
create temp table before as select * from pg_temp.state() s;

select is(
  (select events_processed from recompute_usage_metrics('-infinity', 'infinity')), 961::bigint, 'counting everything anew'
);
select bag_eq('select pg_temp.state()', 'select * from before', 'gives what passes counted');
select is(
  (select count(*) from generate_series(1, 30) i,
     recompute_usage_metrics(now() - i * interval '17 hours 13 minutes', now() - (i - 1) * interval '17 hours 13 minutes')),
  30::bigint, 'in parts of any length'
);
select bag_eq('select pg_temp.state()', 'select * from before', 'it gives that, too');
select is(
  (select events_processed::text from recompute_usage_metrics(now(), now() + interval '1 microsecond')),
  (select count(*)::text from public.tenant_usage_realtime where event_timestamp >= date_trunc('hour', now(), 'UTC')),
  'the hours that a range touches are counted'
);
select is(
  (select recompute_usage_metrics(now() - interval '90 days', now() - interval '60 days')::text), '(0,0)', 'none of long ago'
);
select bag_eq('select pg_temp.state()', 'select * from before', 'which leaves all as it is');

select * from finish();
rollback;
