begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
insert into public.usage_event_types (id, description, metric)
values ('completion', 'A completion', 'tokens'), ('ping', 'Pings', 'api_calls');
create function pg_temp.quantities() returns table (metric text, period_type text, quantity numeric) language sql as $$
  select metric, period_type, quantity from public.tenant_metric_usage where metric <> 'team_members'
$$;
create function pg_temp.in_each(p_quantities jsonb) returns table (metric text, period_type text, quantity numeric)
language sql as $$
  select key, type, value::numeric from jsonb_each_text(p_quantities), unnest(array['hourly', 'daily', 'monthly']) type
$$;

select record_usage(tests.tenant_id('acme'), '[
  {"event_id": "a", "event_type": "completion", "quantity": 500},
  {"event_id": "b", "event_type": "search", "tokens_consumed": 7},
  {"event_id": "c", "event_type": "ping", "quantity": 3},
  {"event_id": "d", "event_type": "search", "api_status_code": 200}
]');
select is(
  (select array_agg(c.quantity order by c.metric) from unnest(array['api_calls', 'tokens']) m, get_top_consumers(m) c),
  array[4, 507]::numeric[], 'quantities add to tokens and to calls while they wait'
);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quantities()', $$ select * from pg_temp.in_each('{"tokens": 507, "api_calls": 4}') $$,
  'and when they are counted'
);
select record_usage(tests.tenant_id('acme'), '[
  {"event_id": "e", "event_type": "completion", "quantity": 0.5, "tokens_consumed": 20},
  {"event_id": "f", "event_type": "ping", "api_status_code": 500}
]');
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.quantities()', $$ select * from pg_temp.in_each('{"tokens": 527.5, "api_calls": 6}') $$,
  'beside what the events themselves used'
);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq(
  'select * from pg_temp.quantities()', $$ select * from pg_temp.in_each('{"tokens": 527.5, "api_calls": 6}') $$, 'anew, too'
);
select is(
  (select (total_tokens_used, api_calls_total)::text from get_today_usage(tests.tenant_id('acme'))), '(27,2)',
  'while usage has those of the events alone'
);

select * from finish();
rollback;
