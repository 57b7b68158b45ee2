begin;
select plan(3);

select tests.create_tenant('acme', 'trial');
create function pg_temp.fault(p_amounts text) returns text language sql as $$
  select tests.error_of(format(
    'select consume_quota_batch(tests.tenant_id(''acme''), ''tokens'', %L, idempotency_keys => ''{k1, k1}'')', p_amounts
  ))
$$;
select is(pg_temp.fault('{5, 6}'), 'PT409 idempotency_key_reused', 'where the first is granted');
select is(pg_temp.fault('{20000, 5}'), 'PT409 idempotency_key_reused', 'and where it is denied');
select is(pg_temp.fault('{20000, 20000}'), null, 'but not for one amount twice');

select * from finish();
rollback;
