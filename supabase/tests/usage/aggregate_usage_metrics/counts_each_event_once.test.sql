begin;
select plan(13);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
create function pg_temp.record(p_tenant text, p_id text, variadic p_at timestamptz[]) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_agg(jsonb_build_object(
    'event_id', p_id || i, 'event_type', 'chat_message', 'event_timestamp', at, 'tokens_consumed', 10, 'cost_usd', 0.5,
    'api_status_code', 200, 'api_response_time_ms', 40, 'metadata', jsonb_build_object('session_id', p_id)
  )))
  from unnest(p_at) with ordinality e (at, i)
$$;
create function pg_temp.state() returns setof jsonb language sql as $$
  select to_jsonb(m) from public.tenant_usage_metrics m
  union all select to_jsonb(u) from public.tenant_metric_usage u
  union all select to_jsonb(r) from private.usage_rollups r
  union all select to_jsonb(c) from private.chat_sessions c
$$;

select is((select aggregate_usage_metrics()::text), '(0,0)', 'a pass without events counts none');
select is_empty('select pg_temp.state()', 'and writes nothing');

select pg_temp.record('acme', 'a', pg_temp.at(3, '10:00'), pg_temp.at(3, '10:59:59.999999'), pg_temp.at(3, '11:00'));
select pg_temp.record('rival', 'a', pg_temp.at(3, '10:00'));
select is(
  (select (events_processed, buckets_touched >= 4 + 3)::text from aggregate_usage_metrics()), '(4,t)', 'a pass counts what is new'
);
select is(
  (select array_agg(total_tokens_used order by period_start) from public.tenant_usage_metrics
   where tenant_id = tests.tenant_id('acme') and period_type = 'hourly'
     and period_start in (pg_temp.at(3, '10:00'), pg_temp.at(3, '11:00'))),
  array[20, 10]::bigint[], 'each in its own hour'
);
select results_eq(
  $$ select t.name, m.period_type, m.period_start, m.period_end, m.total_tokens_used from public.tenant_usage_metrics m
     join public.tenants t on t.id = m.tenant_id where m.period_type <> 'hourly' order by 1, 2 $$,
  $$ select name, type, date_trunc(field, pg_temp.at(3, '0'), 'UTC'),
       (date_trunc(field, pg_temp.at(3, '0'), 'UTC') at time zone 'UTC' + ('1 ' || field)::interval) at time zone 'UTC', tokens
     from (values ('acme', 30::bigint), ('rival', 10)) t (name, tokens),
       (values ('daily', 'day'), ('monthly', 'month')) p (type, field)
     order by 1, 2 $$,
  'its day and its month'
);
select is_empty('select from private.usage_batches', 'and leaves no batch');

create temp table before as select * from pg_temp.state() s;
select is((select aggregate_usage_metrics()::text), '(0,0)', 'the next pass counts nothing');
select bag_eq('select pg_temp.state()', 'select * from before', 'and changes nothing');

select pg_temp.record('acme', 'b', pg_temp.at(3, '10:30'), pg_temp.at(1, '0'));
select pg_temp.record('acme', 'c', pg_temp.at(3, '10:30'));
select is((select (events_processed)::text from aggregate_usage_metrics()), '3', 'batches of an hour that is counted');
select results_eq(
  $$ select period_start, total_tokens_used, api_calls_total, estimated_cost_usd, chat_messages_sent
     from public.tenant_usage_metrics
     where tenant_id = tests.tenant_id('acme') and period_type = 'hourly' order by 1 $$,
  $$ values (pg_temp.at(3, '10:00'), 40::bigint, 4::bigint, 2.0, 4::bigint), (pg_temp.at(3, '11:00'), 10, 1, 0.5, 1),
       (pg_temp.at(1, '0'), 10, 1, 0.5, 1) $$,
  'are added to it'
);
select bag_eq(
  $$ select period_start, total_tokens_used from public.tenant_usage_metrics
     where tenant_id = tests.tenant_id('acme') and period_type = 'monthly' $$,
  $$ select date_trunc('month', at, 'UTC'), sum(tokens)::bigint
     from (values (pg_temp.at(3, '0'), 50), (pg_temp.at(1, '0'), 10)) as t (at, tokens) group by 1 $$,
  'and to its month'
);
select is(
  (select count(*) from public.tenant_usage_metrics where tenant_id = tests.tenant_id('rival')), 3::bigint,
  'not to another tenant''s'
);
select record_usage(tests.tenant_id('acme'), '[{"event_id": "b1", "event_type": "search", "tokens_consumed": 100}]');
select is((select aggregate_usage_metrics()::text), '(0,0)', 'an event that is sent again is not counted again');

select * from finish();
rollback;
