begin;
select plan(16);

select tests.create_user(name) from unnest(array['olga', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault(p_more text default $$ now(), now() $$) returns text language sql as $$
  select tests.error_of(format('select get_tenant_usage(tests.tenant_id(''acme''), %s)', p_more))
$$;

select tests.act_as_user('vic');
select is(pg_temp.fault(), null, 'a viewer has it');
select is(pg_temp.fault($$ now(), now(), 'weekly' $$), 'PT400 invalid_period_type', 'there are no weeks');
select is(pg_temp.fault($$ now(), now(), null $$), 'PT400 invalid_period_type', 'nor periods without a type');
select is(pg_temp.fault($$ now(), now(), 'day' $$), 'PT400 invalid_period_type', 'nor of a window''s name');
select is(pg_temp.fault($$ now(), now() - interval '1 second' $$), 'PT400 invalid_range', 'a range ends after it begins');
select is(pg_temp.fault($$ null, now() $$), 'PT400 invalid_range', 'and has a beginning');
select is(pg_temp.fault($$ now(), null $$), 'PT400 invalid_range', 'and an end');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select is(
  tests.error_of('select get_tenant_usage(gen_random_uuid(), now(), now())'), 'PT404 tenant_not_found', 'of a tenant that exists'
);
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select is(pg_temp.fault('null, null'), 'PT403 permission_denied', 'and hears nothing else');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 permission_denied', 'nor a suspended tenant''s owner');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'while operators may');

select * from finish();
rollback;
