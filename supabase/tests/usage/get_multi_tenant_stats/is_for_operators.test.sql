begin;
select plan(5);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select get_multi_tenant_stats() $q$)
$$;

select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin asks about all tenants');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'so does the service role');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor with a forged claim');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'nor does anon');

select * from finish();
rollback;
