begin;
select plan(11);

select tests.create_user('olga');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault(p_limit text default '5', p_metric text default 'tokens', p_tenant uuid default tests.tenant_id('acme'))
returns text language sql as $$
  select tests.error_of(format('select set_custom_quota(%L, %L, %L)', p_tenant, p_metric, p_limit))
$$;

select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'an owner does not set their own limit');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor with a forged claim');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'nor does anon');
select tests.act_as_owner();
select is_empty('select from public.tenant_limits', 'nothing was set');

select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role does');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'so does a platform admin');
select is(pg_temp.fault('-1'), 'PT400 invalid_limit', 'a limit is not negative');
select is(pg_temp.fault('9007199254740992'), 'PT400 invalid_limit', 'nor more than JSON holds exactly');
select is(pg_temp.fault('9007199254740991'), null, 'but as much');
select is(pg_temp.fault('1', 'nonsense'), 'PT404 metric_not_found', 'an unknown metric has none');
select is(pg_temp.fault('1', 'tokens', gen_random_uuid()), 'PT404 tenant_not_found', 'nor an unknown tenant');

select * from finish();
rollback;
