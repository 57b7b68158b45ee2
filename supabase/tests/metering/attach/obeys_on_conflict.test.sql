begin;
select plan(6);

select tests.create_tenant('acme', 'free');
create table public.flows (id int primary key, tenant_id uuid, size int);
select meter.attach('flows', 'workflows', 'size');
select meter.attach('flows', 'executions', 'size');
create temp view used as select metric, used from private.quota_counters;

insert into flows values (1, tests.tenant_id('acme'), 4);
insert into flows values (1, tests.tenant_id('acme'), 4), (2, tests.tenant_id('acme'), 3) on conflict do nothing;
select set_eq('table used', $$ values ('workflows', 7::bigint), ('executions', 7) $$, 'do nothing counts what is new');
insert into flows values (1, tests.tenant_id('acme'), 5), (3, tests.tenant_id('acme'), 1) on conflict (id) do update set size = excluded.size;
select set_eq(
  'table used', $$ values ('workflows', 9::bigint), ('executions', 8) $$,
  'do update counts the growth of what was there, of a gauge, and of a counter what is new'
);
insert into flows values (1, tests.tenant_id('acme'), 2) on conflict (id) do update set size = excluded.size;
select set_eq('table used', $$ values ('workflows', 6::bigint), ('executions', 8) $$, 'or its shrinking');
select is(
  tests.error_of($$ insert into flows values (1, tests.tenant_id('acme'), 7) on conflict (id) do update set size = excluded.size $$),
  'PT429 quota_exceeded', 'growth past the limit is refused'
);
select set_eq('table used', $$ values ('workflows', 6::bigint), ('executions', 8) $$, 'and not counted');
select is((select count(*) from public.tenant_usage_realtime), 3::bigint, 'each new row has an event');

select * from finish();
rollback;
