begin;
select plan(9);

select tests.create_user(name) from unnest(array['vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table denied as select decision_id as id from consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
grant select on denied to anon, authenticated, service_role;
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of(format('select explain_decision(%L)', id)) from denied
$$;

select tests.act_as_user('vic');
select is(pg_temp.fault(), null, 'a viewer reads it');
select is(tests.error_of('select explain_decision(gen_random_uuid())'), 'PT404 decision_not_found', 'if there is one');
select is(tests.error_of('select explain_decision(null)'), 'PT404 decision_not_found', 'and one is named');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT404 decision_not_found', 'another tenant''s owner does not learn that it exists');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT404 decision_not_found', 'with a forged claim, either');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin reads it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'so does the service role');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT404 decision_not_found', 'a suspended tenant''s viewer does not');

select * from finish();
rollback;
