begin;
select plan(11);

select tests.create_user(name) from unnest(array['edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select consume_quota_batch(tests.tenant_id('acme'), 'api_calls', '{1, 1}', 'u1') $q$)
$$;

select tests.act_as_user('edit');
select is(pg_temp.fault(), null, 'an editor has it');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select is(
  tests.error_of($$ select consume_quota_batch(gen_random_uuid(), 'tokens', '{1}') $$), 'PT404 tenant_not_found',
  'but not of a tenant that is none'
);
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer lacks it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select is(
  tests.error_of($$ select consume_quota_batch(gen_random_uuid(), 'tokens', '{1}') $$), 'PT403 permission_denied',
  'and does not learn which tenants exist'
);
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
select set_eq(
  $$ select subject, used from private.quota_counters where period = 'day' $$,
  $$ values (tests.user_id('edit')::text, 2::bigint), (tests.user_id('root')::text, 2), ('u1', 2) $$,
  'a member is counted as themselves, whoever they name, and who was refused not at all'
);
select tests.act_as_user('edit');
select is(
  (select string_agg(allowed::text, ' ') from consume_quota_batch(tests.tenant_id('acme'), 'analysis_runs', '{15, 15, 5}')),
  'true false true', 'within their own limit'
);

select * from finish();
rollback;
