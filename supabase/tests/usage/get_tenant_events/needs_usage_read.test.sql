begin;
select plan(8);

select tests.create_user(name) from unnest(array['olga', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "search"}]');
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select get_tenant_events(tests.tenant_id('acme')) $q$)
$$;

select tests.act_as_user('vic');
select is((select event_id from get_tenant_events(tests.tenant_id('acme'))), 'a', 'a viewer has it');
select tests.act_as_user('root');
select is((select event_id from get_tenant_events(tests.tenant_id('acme'))), 'a', 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select is_empty($$ select get_tenant_events(tests.tenant_id('rival')) $$, 'and has nothing of it in their own');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 permission_denied', 'nor a suspended tenant''s owner');

select * from finish();
rollback;
