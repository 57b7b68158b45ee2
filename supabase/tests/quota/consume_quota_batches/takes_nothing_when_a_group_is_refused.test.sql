begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select consume_quota(tests.tenant_id('rival'), 'tokens', 5, null, 'k1');
create function pg_temp.fault(p_group jsonb) returns text language sql as $$
  select tests.error_of(format('select consume_quota_batches(%L)', jsonb_build_array(
    jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'metric', 'tokens', 'amounts', array[1, 20000], 'idempotency_keys', array['a', 'b']),
    jsonb_build_object('tenant_id', tests.tenant_id('rival'), 'metric', 'tokens', 'amounts', array[6]) || p_group
  )))
$$;

select is(pg_temp.fault('{"metric": "nonsense"}'), 'PT404 metric_not_found', 'for an unknown metric');
select is(pg_temp.fault('{"tenant_id": "00000000-0000-0000-0000-000000000000"}'), 'PT404 tenant_not_found', 'for an unknown tenant');
select is(pg_temp.fault('{"amounts": [1, 0]}'), 'PT400 invalid_amount', 'for a bad amount');
select is(pg_temp.fault('{"idempotency_keys": ["k1"]}'), 'PT409 idempotency_key_reused', 'for a key of another request');
select is(pg_temp.fault(jsonb_build_object('subject', repeat('s', 256))), 'PT400 invalid_subject', 'for a bad subject');
select results_eq(
  'select tenant_id, used, allowed from private.quota_counters', $$ values (tests.tenant_id('rival'), 5::bigint, 1::bigint) $$,
  'neither from it nor from the others'
);
select set_eq('select idempotency_key from private.quota_grants', array['k1'], 'no key is kept');
select is_empty(
  'select 1 from private.quota_denials union all select 1 from public.quota_decisions', 'and no denial'
);

select * from finish();
rollback;
