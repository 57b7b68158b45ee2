begin;
select plan(7);

select tests.create_user('vic');
select tests.create_user('bob');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
create function pg_temp.fault(p_metric text default 'tokens', p_amount bigint default 1) returns text language sql as $$
  select tests.error_of(format('select check_tenant_quota(tests.tenant_id(''acme''), %L, %s)', p_metric, p_amount))
$$;

select tests.act_as_user('vic');
select is(pg_temp.fault(), null, 'a viewer has it');
select is(pg_temp.fault('nonsense'), 'PT404 metric_not_found', 'and is told of an unknown metric');
select is(pg_temp.fault('tokens', 0), 'PT400 invalid_amount', 'and of an amount that is none');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');

select * from finish();
rollback;
