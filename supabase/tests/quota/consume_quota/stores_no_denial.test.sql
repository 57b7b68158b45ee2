begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'tokens', 10001, idempotency_key => 'k1')), false,
  'a denied request'
);
select is_empty('select from private.quota_grants', 'keeps no key');
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 10, idempotency_key => 'k1')), '(t,10)',
  'which another request may use'
);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 20000);
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'tokens', 10001, idempotency_key => 'k2')), true,
  'asked again with more quota, it is granted'
);

select * from finish();
rollback;
