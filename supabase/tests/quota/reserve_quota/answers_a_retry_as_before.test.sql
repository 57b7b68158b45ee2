begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
create temp table first as select * from reserve_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1');

select results_eq(
  $$ select * from reserve_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1') $$, 'select * from first',
  'a retry has the same reservation'
);
select is((select used from private.quota_counters), 100::bigint, 'and takes nothing');
select is((select count(*) from private.quota_reservations), 1::bigint, 'nor holds anything');
select is(
  tests.error_of($$ select reserve_quota(tests.tenant_id('acme'), 'tokens', 101, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'the key is bound to the request'
);
select consume_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k2');
select is(
  tests.error_of($$ select reserve_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k2') $$),
  'PT409 idempotency_key_reused', 'a key of a consume is another request''s'
);
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'and the other way round'
);
select is((select used from private.quota_counters), 200::bigint, 'none of these took anything');

select * from finish();
rollback;
