begin;
select plan(6);

select tests.create_tenant(name, 'trial') from unnest(array['acme', 'rival', 'third']) name;
select setseed(0.2);
create function pg_temp.state(p_tenant text) returns setof jsonb language sql as $$
  select to_jsonb(m) - array['metric_id', 'tenant_id'] from public.tenant_usage_metrics m
  where tenant_id = tests.tenant_id(p_tenant)
  union all
  select to_jsonb(u) - 'tenant_id' from public.tenant_metric_usage u where tenant_id = tests.tenant_id(p_tenant)
  union all
  select to_jsonb(c) - 'tenant_id' from private.chat_sessions c where tenant_id = tests.tenant_id(p_tenant)
  union all
  -- Nothing and 0 are the same to whoever adds up.
  select (
    select jsonb_object_agg(c.key, c.value) || jsonb_build_object('type', r.period_type, 'start', r.period_start)
    from jsonb_each(jsonb_strip_nulls(to_jsonb(r.counts))) c where c.value not in ('0', '{}')
  )
  from private.usage_rollups r where tenant_id = tests.tenant_id(p_tenant)
$$;
create temp table events as select * from tests.random_events(1200);

-- One call and one pass.
select record_usage(tests.tenant_id('acme'), jsonb_agg(event order by i)) from events;
select aggregate_usage_metrics();
-- Forty calls in another order, and a pass after every third.
do $$
begin
  for v_call in 0..39 loop
    perform record_usage(tests.tenant_id('rival'), jsonb_agg(event order by i desc)) from events where i * 7 % 40 = v_call;
    if v_call % 3 = 0 then
      perform aggregate_usage_metrics();
    end if;
  end loop;
  perform aggregate_usage_metrics();
end
$$;
-- From the newest to the oldest, a pass after each.
do $$
begin
  for v_call in 0..9 loop
    perform record_usage(tests.tenant_id('third'), jsonb_agg(event))
    from (select event, ntile(10) over (order by event ->> 'event_timestamp' desc) - 1 as call from events) e where call = v_call;
    perform aggregate_usage_metrics();
  end loop;
end
$$;

select cmp_ok((select count(*) from pg_temp.state('acme')), '>', 1000::bigint, 'many events in many periods');
select cmp_ok(
  (select count(*) from public.tenant_usage_metrics where tenant_id = tests.tenant_id('acme') and peak_qps > 5),
  '>', 10::bigint, 'some at once'
);
select cmp_ok(
  (select max((counts).latency_count) from private.usage_rollups where tenant_id = tests.tenant_id('acme')), '>', 200::bigint,
  'and too many to keep each latency'
);
select is_empty('select from private.usage_batches', 'are counted');
select bag_eq($$ select pg_temp.state('rival') $$, $$ select pg_temp.state('acme') $$, 'alike in many batches and passes');
select bag_eq($$ select pg_temp.state('third') $$, $$ select pg_temp.state('acme') $$, 'and from the last to the first');

select * from finish();
rollback;
