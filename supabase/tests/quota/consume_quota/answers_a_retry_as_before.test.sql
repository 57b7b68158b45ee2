begin;
select plan(9);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');

create temp table first as
select * from consume_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1');
select is((select (allowed, used)::text from first), '(t,100)', 'the first is granted');
select consume_quota(tests.tenant_id('acme'), 'tokens', 50);
select results_eq(
  $$ select * from consume_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1') $$, 'select * from first',
  'a retry is answered as the first was'
);
select is(
  (select used from check_tenant_quota(tests.tenant_id('acme'), 'tokens')), 150::bigint, 'and takes nothing'
);

select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'tokens', 101, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'the key is bound to the amount'
);
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'chat_messages', 100, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'and the metric'
);
select is(
  tests.error_of($$ select reserve_quota(tests.tenant_id('acme'), 'tokens', 100, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'and to what was asked: a reservation is another request'
);
select tests.act_as_service_role();
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'tokens', 100, 'u2', 'k1') $$),
  'PT409 idempotency_key_reused', 'and the subject'
);
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('rival'), 'tokens', 7, idempotency_key => 'k1')), '(t,7)',
  'another tenant''s key of the same name is another key'
);
select is(
  (select used from check_tenant_quota(tests.tenant_id('acme'), 'tokens')), 150::bigint, 'none of these took anything'
);

select * from finish();
rollback;
