begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select results_eq(
  'select id, metric from public.usage_event_types where metric is not null order by id',
  $$ values ('analysis_run', 'analysis_runs'), ('chat_message', 'chat_messages'), ('embedding', 'embeddings'),
       ('execution', 'executions'), ('run_time', 'run_minutes') $$,
  'these add their quantity to a metric'
);
select set_eq(
  'select id from public.usage_event_types where metric is null',
  array['ai_request', 'api_call', 'data_export', 'kb_ingest', 'search'],
  'these do not'
);
select throws_ok(
  $$ insert into public.usage_event_types (id, description, metric) values ('scan', 'A scan', 'nonsense') $$, '23503', null,
  'a metric is one that exists'
);
insert into public.metrics (id, unit, kind, default_period, description) values ('scans', 'scan', 'counter', 'day', 'Scans');
insert into public.usage_event_types (id, description, metric) values ('scan', 'A scan', 'scans');
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "scan", "quantity": 3}]');
select aggregate_usage_metrics();
select record_usage(tests.tenant_id('acme'), '[{"event_id": "b", "event_type": "scan", "quantity": 5, "tokens_consumed": 1}]');
delete from public.metrics where id = 'scans';
select is((select metric from public.usage_event_types where id = 'scan'), null, 'a metric that goes leaves its event types');
select is_empty($$ select from public.tenant_metric_usage where metric = 'scans' $$, 'and takes its usage along');
select is(
  tests.error_of('select aggregate_usage_metrics()') is null
    and tests.error_of($$ select recompute_usage_metrics('-infinity', 'infinity') $$) is null,
  true, 'roll-ups do without'
);
select is(
  (select sum(quantity) from public.tenant_metric_usage where period_type = 'monthly' and metric = 'tokens'), 1::numeric,
  'and go on counting'
);

select * from finish();
rollback;
