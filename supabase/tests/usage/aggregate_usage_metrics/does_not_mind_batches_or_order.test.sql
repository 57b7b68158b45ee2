begin;
select plan(6);

select tests.create_tenant(name, 'trial') from unnest(array['acme', 'rival', 'third']) name;
select setseed(0.2);
-- Random events of 20 days, some of which share a second, a session or a type.
create function pg_temp.events(p_count int) returns table (i int, event jsonb) language sql as $$
  select r.i, jsonb_strip_nulls(jsonb_build_object(
    'event_id', 'e' || r.i,
    'event_type', r.type,
    'event_timestamp', date_trunc('day', now(), 'UTC') - interval '24 hours'
      - case when r.r < 0.3 then floor(r.a * 15) * interval '31 hours' + r.b * interval '2 seconds'
          else r.a * interval '19 days' end,
    'tokens_consumed', floor(r.b * 500),
    'quantity', case when r.type <> 'search' then round(1 + r.c::numeric * 9, 2) end,
    'cost_usd', case when r.c < 0.5 then round(r.a::numeric, 8) end,
    'api_status_code', (array[200, 201, 399, 400, 404, 429, 500, 599, null])[1 + floor(r.d * 9)],
    'api_response_time_ms', case when r.d > 0.03 then round(exp(3 + 4 * r.e)::numeric, 3) when r.d < 0.01 then 0 end,
    'metadata', jsonb_build_object(
      'direction', (array['sent', 'received', 'other', null])[1 + floor(r.e * 4)],
      'session_id', case when r.r > 0.1 then 's' || floor(r.r * 60) end
    )
  ))
  from (
    select i, random() as a, random() as b, random() as c, random() as d, random() as e, random() as r,
      (array[
        'api_call', 'chat_message', 'chat_message', 'embedding', 'search', 'execution', 'run_time', 'analysis_run', 'kb_ingest'
      ])[1 + floor(random() * 9)] as type
    from generate_series(1, p_count) i
  ) as r
$$;
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
create temp table events as select * from pg_temp.events(1200);

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
