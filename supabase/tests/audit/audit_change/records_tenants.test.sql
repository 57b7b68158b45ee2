begin;
select plan(9);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'admin');
delete from public.audit_events;

create function pg_temp.last_event() returns public.audit_events language sql as $$
  select e.* from public.audit_events e where e.tenant_id = tests.tenant_id('acme')
$$;

select tests.act_as_user('ann');
update public.tenants set name = 'Acme & Co' where id = tests.tenant_id('acme');
select tests.act_as_owner();

select is((select count(*) from public.audit_events), 1::bigint, 'a change leaves one event');
select is(
  (select (event_type, action, entity_type, entity_id, severity, result)::text from pg_temp.last_event()),
  format('(tenant_updated,updated,tenant,%s,info,success)', tests.tenant_id('acme')),
  'which says what was done to what'
);
select is((select old_values ->> 'name' from pg_temp.last_event()), 'acme', 'what it was');
select is((select new_values ->> 'name' from pg_temp.last_event()), 'Acme & Co', 'what it became');
select is((select changes_summary from pg_temp.last_event()), 'name: "acme" → "Acme & Co"', 'in short');
select is(
  (select old_values - 'name' from pg_temp.last_event()), (select new_values - 'name' from pg_temp.last_event()),
  'and that nothing else changed'
);
select ok(
  (select not old_values ? 'updated_at' and not new_values ? 'updated_at' from pg_temp.last_event()),
  'the time of the change is the event''s own'
);

delete from public.audit_events;
delete from public.tenants where id = tests.tenant_id('acme');
select results_eq(
  $$ select event_type, old_values ->> 'name', new_values from public.audit_events where entity_type = 'tenant' $$,
  $$ values ('tenant_deleted', 'Acme & Co', null::jsonb) $$,
  'a deleted tenant is remembered'
);
select results_eq(
  $$ select event_type, tenant_id, old_values ->> 'role' from public.audit_events where entity_type = 'membership' $$,
  $$ values ('membership_deleted', tests.tenant_id('acme'), 'admin') $$,
  'with the memberships that went with it'
);

select * from finish();
rollback;
