begin;
select plan(6);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');

select results_eq(
  $$ select allowed, period, limit_value, used, remaining, reason
     from consume_quota(tests.tenant_id('acme'), 'tokens', 9000) $$,
  $$ values (true, 'day'::quota_period, 10000::bigint, 9000::bigint, 1000::bigint, null) $$,
  'takes what fits'
);
select results_eq(
  $$ select allowed, used, remaining, reason, decision_id is not null
     from consume_quota(tests.tenant_id('acme'), 'tokens', 1001) $$,
  $$ values (false, 9000::bigint, 1000::bigint, 'quota_exceeded', true) $$,
  'denies what does not fit, and says what is left'
);
select results_eq(
  $$ select allowed, used from consume_quota(tests.tenant_id('acme'), 'tokens', 1000) $$,
  $$ values (true, 10000::bigint) $$,
  'a denial took nothing'
);
select results_eq(
  $$ select allowed, remaining from consume_quota(tests.tenant_id('acme'), 'tokens') $$,
  $$ values (false, 0::bigint) $$,
  'denies the next one'
);

select tests.act_as_owner();
select tests.create_tenant('fresh', 'trial');
select is(
  (select allowed from consume_quota(tests.tenant_id('fresh'), 'tokens', 10001)), false,
  'denies a first request larger than the limit'
);
select is_empty(
  $$ select from private.quota_counters where tenant_id = tests.tenant_id('fresh') $$,
  'which leaves no counter behind'
);

select * from finish();
rollback;
