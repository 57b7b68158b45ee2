begin;
select plan(4);

select tests.create_tenant('acme', 'pro');
insert into public.usage_event_types (id, description, metric)
values ('wf', 'Workflows', 'workflows'), ('seat', 'Members', 'team_members');
create function pg_temp.gauges() returns table (metric text, period_type text, quantity numeric) language sql as $$
  select u.metric, u.period_type, u.quantity
  from public.tenant_metric_usage u join public.metrics m on m.id = u.metric and m.kind = 'gauge'
$$;

select record_usage(tests.tenant_id('acme'), '[
  {"event_id": "a", "event_type": "wf", "quantity": 40}, {"event_id": "b", "event_type": "seat", "quantity": 9}
]');
select aggregate_usage_metrics();
select is_empty('select * from pg_temp.gauges()', 'events of a gauge add nothing to it');
select consume_quota(tests.tenant_id('acme'), 'workflows', 2);
select record_usage(tests.tenant_id('acme'), '[{"event_id": "c", "event_type": "wf", "quantity": 40}]');
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.gauges()',
  $$ values ('workflows', 'daily', 2::numeric), ('workflows', 'monthly', 2) $$,
  'which has the value that it has'
);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq(
  'select * from pg_temp.gauges()',
  $$ values ('workflows', 'daily', 2::numeric), ('workflows', 'monthly', 2) $$,
  'counted anew, too'
);
select is((select quantity from get_top_consumers('workflows')), 2::numeric, 'that is what is read');

select * from finish();
rollback;
