begin;
select plan(13);

select tests.create_user(u) from unnest(array['mallory', 'root', 'suspended']) u;
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'mallory', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root')), (tests.user_id('suspended'));
select suspend_user(tests.user_id('suspended'), 'Fraud.');
create temp table key as select (create_api_key(tests.tenant_id('acme'), 'k', 'owner')).id;
grant select on key to authenticated;
create function pg_temp.denied() returns bigint language sql as $$ select count(*) from public.audit_events where event_type = 'admin_access_denied' $$;

select tests.act_as_user('root');
select is(enter_admin_area('/admin'), true, 'a platform admin may enter');
select tests.act_as_service_role();
select is(enter_admin_area('/admin'), true, 'and the service role');
select tests.act_as_owner();
select is(pg_temp.denied(), 0::bigint, 'which is no news');
select tests.act_as_user('mallory', '{"role": "service_role", "app_metadata": {"admin": true}}');
select is(enter_admin_area('/admin/' || repeat('x', 300)), false, 'an owner may not, with a forged token neither');
select tests.act_as_owner();
select results_eq(
  $$ select tenant_id, actor_id, actor_type::text, action, entity_type, entity_id, severity::text, result::text, source::text from public.audit_events where event_type = 'admin_access_denied' $$,
  $$ values (null::uuid, tests.user_id('mallory')::text, 'tenant', 'denied', 'admin_area', '/admin/' || repeat('x', 193), 'warning', 'failure', 'database') $$,
  'which is audited, with where they tried'
);
select tests.act_as_user('suspended');
select is(enter_admin_area('/admin'), false, 'nor one who is suspended');
select tests.act_as_api_key(id) from key;
select is(enter_admin_area('/admin'), false, 'nor an API key');
select tests.act_as_user('mallory');
select is(enter_admin_area(null), false, 'nor again');
select tests.act_as_owner();
select is(pg_temp.denied(), 3::bigint, 'each is audited, once a minute');
update public.audit_events set occurred_at = now() - interval '1 minute' where actor_id = tests.user_id('mallory')::text and event_type = 'admin_access_denied';
select tests.act_as_user('mallory');
select enter_admin_area('/admin');
select tests.act_as_owner();
select is(pg_temp.denied(), 4::bigint, 'and again after it');
select set_eq(
  $$ select actor_id from public.audit_events where event_type = 'admin_access_denied' $$, $$ select tests.user_id('mallory')::text union select tests.user_id('suspended')::text union select id::text from key $$,
  'by name'
);
select tests.act_as_anon();
select is(tests.error_of('select enter_admin_area(''/admin'')'), '42501', 'anon is refused');
select tests.act_as_owner();
select is(enter_admin_area('/admin'), true, 'psql may enter');

select * from finish();
rollback;
