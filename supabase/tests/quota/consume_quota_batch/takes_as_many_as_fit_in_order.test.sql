begin;
select plan(7);

select tests.create_tenant('acme', 'trial');

select results_eq(
  $$ select allowed, metric, period::text, limit_value, used, remaining, reason, decision_id is not null
     from consume_quota_batch(tests.tenant_id('acme'), 'tokens', '{6000, 5000, 3000, 2000, 2000, 1000, 1}') $$,
  $$ values
       (true, 'tokens', 'day', 10000::bigint, 6000::bigint, 4000::bigint, null, false),
       (false, 'tokens', 'day', 10000, 6000, 4000, 'quota_exceeded', true),
       (true, 'tokens', 'day', 10000, 9000, 1000, null, false),
       (false, 'tokens', 'day', 10000, 9000, 1000, 'quota_exceeded', true),
       (false, 'tokens', 'day', 10000, 9000, 1000, 'quota_exceeded', true),
       (true, 'tokens', 'day', 10000, 10000, 0, null, false),
       (false, 'tokens', 'day', 10000, 10000, 0, 'quota_exceeded', true) $$,
  'what does not fit makes room for what comes after it'
);
select results_eq(
  'select metric, used, allowed from private.quota_counters', $$ values ('tokens', 10000::bigint, 3::bigint) $$,
  'what was granted is taken'
);
select set_eq(
  'select amount, used from public.quota_decisions',
  $$ values (5000::bigint, 6000::bigint), (2000, 9000), (1, 10000) $$, 'each sight of a denial has its receipt'
);
select is((select sum(denied) from private.quota_denials), 4::numeric, 'and each denial is counted');

-- Each amount is denied by the window that it does not fit into for the longest.
select tests.create_tenant('solo', 'startup');
select results_eq(
  $$ select allowed, period::text, limit_value from consume_quota_batch(tests.tenant_id('solo'), 'analysis_runs', '{21, 201, 21, 5}') $$,
  $$ values (false, 'day', 20::bigint), (false, 'month', 200), (false, 'day', 20), (true, 'day', 20) $$,
  'each denial is by its own window'
);

-- A call of a thousand is one update of the counter.
select set_custom_quota(tests.tenant_id('acme'), 'embeddings', 600);
create temp table updates as select pg_stat_get_xact_tuples_updated('private.quota_counters'::regclass) as n;
select is(
  (select (count(*) filter (where allowed), max(used))::text
   from consume_quota_batch(tests.tenant_id('acme'), 'embeddings', array_fill(1::bigint, array[1000]))),
  '(600,600)', 'a thousand amounts are a call'
);
select cmp_ok(
  (select pg_stat_get_xact_tuples_updated('private.quota_counters'::regclass) - n from updates), '<=', 1::bigint,
  'which counts once'
);

select * from finish();
rollback;
