begin;
select plan(12);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select consume_quota(tests.tenant_id('acme'), 'tokens') $q$)
$$;

select tests.act_as_user('olga');
select is(pg_temp.fault(), null, 'an owner has it');
select tests.act_as_user('adam');
select is(pg_temp.fault(), null, 'an admin has it');
select tests.act_as_user('edit');
select is(pg_temp.fault(), null, 'an editor has it');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select is(
  tests.error_of($$ select consume_quota(gen_random_uuid(), 'tokens') $$), 'PT404 tenant_not_found',
  'but not of a tenant that is none'
);
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer lacks it');
select tests.act_as_user('vic', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select is(
  tests.error_of($$ select consume_quota(gen_random_uuid(), 'tokens') $$), 'PT403 permission_denied',
  'and does not learn which tenants exist'
);
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
select is((select used from tests.quota_counters), 5::bigint, 'who was refused took nothing');

select * from finish();
rollback;
