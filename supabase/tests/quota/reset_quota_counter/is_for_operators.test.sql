begin;
select plan(6);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select consume_quota(tests.tenant_id('acme'), 'tokens', 4);
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select reset_quota_counter(tests.tenant_id('acme'), 'tokens') $q$)
$$;

select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'not for a tenant''s owner');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor with a forged claim');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'nor for anon');
select tests.act_as_owner();
select is((select used from tests.quota_counters), 4::bigint, 'who were refused changed nothing');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'but for a platform admin');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'and the service role');

select * from finish();
rollback;
