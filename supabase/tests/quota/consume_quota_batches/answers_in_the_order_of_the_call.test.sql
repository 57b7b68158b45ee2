begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
create function pg_temp.group_of(p_tenant text, p_metric text, p_amounts text, p_more jsonb default '{}') returns jsonb
language sql as $$
  select jsonb_build_object('tenant_id', tests.tenant_id(p_tenant), 'metric', p_metric, 'amounts', p_amounts::jsonb) || p_more
$$;

-- Taken in the order of locks, which is another: solo is before acme, api_calls before tokens, u1 before u2.
create temp table answers as
select b.* from consume_quota_batches(jsonb_build_array(
  pg_temp.group_of('solo', 'analysis_runs', '[15, 15]', '{"subject": "u2"}'),
  pg_temp.group_of('acme', 'tokens', '[6000]'),
  pg_temp.group_of('acme', 'api_calls', '[20, 20, 10]'),
  pg_temp.group_of('solo', 'analysis_runs', '[20]', '{"subject": "u1"}'),
  pg_temp.group_of('acme', 'tokens', '[5000, 4000]', '{"idempotency_keys": ["k1", "k2"]}')
)) with ordinality b;
select results_eq(
  'select ordinality, metric, allowed, used from answers order by ordinality',
  $$ values
       (1::bigint, 'analysis_runs', true, 15::bigint), (2, 'analysis_runs', false, 15),
       (3, 'tokens', true, 6000),
       (4, 'api_calls', true, 20), (5, 'api_calls', false, 20), (6, 'api_calls', true, 30),
       (7, 'analysis_runs', true, 20),
       (8, 'tokens', false, 6000), (9, 'tokens', true, 10000) $$,
  'each amount of each group is answered where it stands'
);
select set_eq(
  $$ select tenant_id, metric, subject, used, allowed from private.quota_counters where period <> 'month' $$,
  $$ values
       (tests.tenant_id('solo'), 'analysis_runs', 'u1', 20::bigint, 1::bigint),
       (tests.tenant_id('solo'), 'analysis_runs', 'u2', 15, 1),
       (tests.tenant_id('acme'), 'tokens', '', 10000, 2),
       (tests.tenant_id('acme'), 'api_calls', '', 30, 2) $$,
  'and taken where it belongs'
);
select set_eq(
  'select tenant_id, metric, denied from private.quota_denials',
  $$ values (tests.tenant_id('solo'), 'analysis_runs', 1::bigint), (tests.tenant_id('acme'), 'tokens', 1),
       (tests.tenant_id('acme'), 'api_calls', 1) $$,
  'denials, too'
);
select set_eq('select idempotency_key from private.quota_grants', array['k2'], 'only what was granted keeps its key');
select results_eq(
  $$ select allowed, used from consume_quota_batches(jsonb_build_array(
       pg_temp.group_of('acme', 'tokens', '[4000]', '{"idempotency_keys": ["k2"]}'),
       pg_temp.group_of('acme', 'chat_messages', '[1, 1]', '{"idempotency_keys": [null, "k3"]}')
     )) $$,
  $$ values (true, 10000::bigint), (true, 1), (true, 2) $$, 'and is answered as before'
);

select * from finish();
rollback;
