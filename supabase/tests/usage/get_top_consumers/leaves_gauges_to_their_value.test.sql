begin;
select plan(2);

select tests.create_tenant('acme', 'pro');
insert into public.usage_event_types (id, description, metric) values ('workflow_made', 'Workflows', 'workflows');
select consume_quota(tests.tenant_id('acme'), 'workflows', 2);
select private.snapshot_gauges();
select record_usage(
  tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "workflow_made", "quantity": 40}]'
);
select is((select quantity from get_top_consumers('workflows')), 2::numeric, 'while an event waits to be counted');
select aggregate_usage_metrics();
select is((select quantity from get_top_consumers('workflows')), 2::numeric, 'and when it is');

select * from finish();
rollback;
