begin;
select plan(10);

select tests.create_user(name) from unnest(array['edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select consume_quotas(tests.tenant_id('acme'), '[{"metric": "api_calls", "subject": "u1"}]') $q$)
$$;

select tests.act_as_user('edit');
select is(pg_temp.fault(), null, 'an editor has it');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer lacks it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select is(
  tests.error_of($$ select consume_quotas(gen_random_uuid(), '[{"metric": "tokens"}]') $$), 'PT403 permission_denied',
  'and does not learn which tenants exist'
);
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'nor with a forged claim');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
select set_eq(
  $$ select subject, used from private.quota_counters where period = 'day' $$,
  $$ values (tests.user_id('edit')::text, 1::bigint), (tests.user_id('root')::text, 1), ('u1', 1) $$,
  'a member is counted as themselves, whoever they name, and who was refused not at all'
);
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('edit');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a suspended tenant''s editor lacks it');

select * from finish();
rollback;
