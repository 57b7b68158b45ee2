begin;
select plan(13);

select tests.create_user('ann');
select tests.create_user('vic');
select tests.create_user('bob');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
create function pg_temp.fault(p_ttl text default '300', p_amount text default '1', p_metric text default 'tokens')
returns text language sql as $$
  select tests.error_of(format(
    'select reserve_quota(tests.tenant_id(''acme''), %L, %L, ttl_seconds => %L)', p_metric, p_amount, p_ttl
  ))
$$;

select tests.act_as_user('ann');
select is(pg_temp.fault('0'), 'PT400 invalid_ttl', 'no time');
select is(pg_temp.fault('-1'), 'PT400 invalid_ttl', 'negative time');
select is(pg_temp.fault('86401'), 'PT400 invalid_ttl', 'more than a day');
select is(pg_temp.fault(null), 'PT400 invalid_ttl', 'an unknown time');
select is(pg_temp.fault('1'), null, 'but not a second');
select is(pg_temp.fault('86400'), null, 'nor a day');
select is(pg_temp.fault(p_amount => '0'), 'PT400 invalid_amount', 'nothing');
select is(pg_temp.fault(p_amount => '9007199254740992'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.fault(p_metric => 'nonsense'), 'PT404 metric_not_found', 'an unknown metric');
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a forged claim');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon');

select * from finish();
rollback;
