begin;
select plan(7);

select tests.create_user(name) from unnest(array['vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select get_quota_checks(tests.tenant_id('acme')) $q$)
$$;

select tests.act_as_user('vic');
select is(pg_temp.fault(), null, 'a viewer has it');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select is(
  tests.error_of($$ select get_quota_checks(gen_random_uuid()) $$), 'PT404 tenant_not_found', 'of a tenant that exists'
);

select * from finish();
rollback;
