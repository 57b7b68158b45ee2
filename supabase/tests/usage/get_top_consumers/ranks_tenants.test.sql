begin;
select plan(14);

insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id(name), name, name, 'pro' from unnest(array['acme', 'rival', 'third', 'idle', 'gone']) name;
create function pg_temp.record(p_tenant text, p_id text, p_event jsonb) returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant),
    jsonb_build_array(jsonb_build_object('event_id', p_id, 'event_type', 'execution') || p_event))
$$;
create function pg_temp.top(p_metric text, p_type text default 'daily', p_rows int default 10) returns text language sql as $$
  select string_agg(name || ': ' || trim_scale(quantity), ', ') from get_top_consumers(p_metric, p_type, p_rows)
$$;

select pg_temp.record('acme', 'a', '{"tokens_consumed": 10, "cost_usd": 0.5, "quantity": 2, "api_status_code": 200}');
select pg_temp.record('rival', 'a', '{"tokens_consumed": 30, "cost_usd": 0.1}');
select pg_temp.record('gone', 'a', '{"tokens_consumed": 99}');
select aggregate_usage_metrics();
select pg_temp.record('acme', 'b', '{"tokens_consumed": 25, "cost_usd": 0.25, "quantity": 5}');
-- Beside an event of a month ago, which is of another period.
select record_usage(tests.tenant_id('third'), jsonb_build_array(
  '{"event_id": "a", "event_type": "execution", "tokens_consumed": 1, "cost_usd": 9}'::jsonb,
  jsonb_build_object('event_id', 'c', 'event_type', 'embedding', 'tokens_consumed', 700,
    'event_timestamp', now() - interval '29 days')
));
select pg_temp.record('third', 'b',
  jsonb_build_object('tokens_consumed', 500, 'cost_usd', 50, 'quantity', 60, 'event_timestamp', now() - interval '28 days'));
select pg_temp.record('idle', 'a', '{"quantity": 0}');
select pg_temp.record('gone', 'b', '{"tokens_consumed": 99}');
delete from public.tenants where id = tests.tenant_id('gone');

select is(pg_temp.top('tokens'), 'acme: 35, rival: 30, third: 1', 'who used most, whether it is counted yet or not');
select is(pg_temp.top('tokens', 'hourly'), 'acme: 35, rival: 30, third: 1', 'in this hour');
select is(
  (select count(*) from get_top_consumers('tokens', 'monthly')), 3::bigint, 'or month'
);
select results_eq(
  $$ select tenant_id, quantity from get_top_consumers('executions') $$,
  $$ select tests.tenant_id('acme'), 7.0
     union all (select id, 1 from unnest(array[tests.tenant_id('rival'), tests.tenant_id('third')]) id order by id) $$,
  'of any metric; who used as much is in the order of ids'
);
select is(pg_temp.top('api_calls'), 'acme: 1', 'only who used it');
select is(pg_temp.top('cost'), 'third: 9, acme: 0.75, rival: 0.1', 'or who cost most');
select is(pg_temp.top('tokens', p_rows => 2), 'acme: 35, rival: 30', 'no more than asked for');
select is(pg_temp.top('embeddings'), null, 'none where there was nothing');
select is(
  (select array_agg(distinct (metric, period_start)::text) from get_top_consumers('tokens')),
  array[('tokens', date_trunc('day', now(), 'UTC'))::text], 'of the period under way'
);
select consume_quota(tests.tenant_id('acme'), 'workflows', 1);
select consume_quota(tests.tenant_id('idle'), 'workflows', 3);
select private.snapshot_gauges();
select is(pg_temp.top('workflows', 'monthly'), 'idle: 3, acme: 1', 'a gauge has its last value');
create temp table tail as select metric, type, pg_temp.top(metric, type)
from unnest(array['tokens', 'executions', 'cost', 'api_calls', 'workflows']) metric,
  unnest(array['hourly', 'daily', 'monthly']) type;
select aggregate_usage_metrics();
select bag_eq('select metric, type, pg_temp.top(metric, type) from tail', 'select * from tail', 'a pass changes nothing');
select is(tests.error_of($$ select get_top_consumers('nonsense') $$), 'PT404 metric_not_found', 'a metric exists');
select is(tests.error_of($$ select get_top_consumers(null) $$), 'PT404 metric_not_found', 'and is named');
select is(
  concat_ws(' ', tests.error_of($$ select get_top_consumers('tokens', 'weekly') $$),
    tests.error_of($$ select get_top_consumers('tokens', 'daily', 0) $$)),
  'PT400 invalid_period_type PT400 invalid_max_rows', 'so does a period, and a number of rows'
);

select * from finish();
rollback;
