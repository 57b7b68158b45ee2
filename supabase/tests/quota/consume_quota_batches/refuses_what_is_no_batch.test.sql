begin;
select plan(16);

select tests.create_tenant('acme', 'trial');
create function pg_temp.fault(p_batches text) returns text language sql as $$
  select tests.error_of(format('select consume_quota_batches(%L)', replace(p_batches, 'ACME', tests.tenant_id('acme')::text)))
$$;
create function pg_temp.ones(p_count int) returns text language sql as $$
  select format('{"tenant_id": "ACME", "metric": "executions", "amounts": %s}', to_json(array_fill(1, array[p_count])))
$$;

select is(pg_temp.fault(null), 'PT400 invalid_batch', 'nothing');
select is(pg_temp.fault('null'), 'PT400 invalid_batch', 'null');
select is(pg_temp.fault('{}'), 'PT400 invalid_batch', 'an object');
select is(pg_temp.fault('"x"'), 'PT400 invalid_batch', 'a string');
select is(pg_temp.fault('[]'), 'PT400 invalid_batch', 'no group');
select is(pg_temp.fault('[{}]'), 'PT400 invalid_batch', 'an empty one');
select is(pg_temp.fault('[1]'), '22023', 'a group that is no object');
select is(pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": []}]'), 'PT400 invalid_batch', 'no amounts');
select is(
  pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": [1]}, {"tenant_id": "ACME", "metric": "tokens"}]'),
  'PT400 invalid_batch', 'a group without, beside one with amounts'
);
select is(
  pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": [1]}, {"tenant_id": "ACME", "metric": "tokens", "amounts": []}]'),
  'PT400 invalid_batch', 'or with none of them'
);
select is(
  pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": [1, 2], "idempotency_keys": ["k"]}]'),
  'PT400 invalid_batch', 'fewer keys than amounts'
);
select is(pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": [1.5]}]'), '22P02', 'a part of one');
select is(pg_temp.fault('[{"tenant_id": "ACME", "metric": "tokens", "amounts": ["NaN"]}]'), '22P02', 'no number');
select is(pg_temp.fault(format('[%s, %s]', pg_temp.ones(600), pg_temp.ones(401))), 'PT400 invalid_batch', 'more than a thousand amounts in all');
select is(pg_temp.fault(format('[%s, %s]', pg_temp.ones(600), pg_temp.ones(400))), null, 'but not a thousand');
select is_empty('select from private.quota_counters', 'none of these took anything');

select * from finish();
rollback;
