begin;
select plan(7);

select tests.create_tenant('acme', 'startup');
select is((select max(receipt_sample_rate) from public.metrics), 0::real, 'none, unless a metric says so');
update public.metrics set receipt_sample_rate = 1 where id = 'analysis_runs';
update public.metrics set receipt_sample_rate = 0.5 where id = 'api_calls';

create temp table grants as
select decision_id from consume_quota_batch(tests.tenant_id('acme'), 'analysis_runs', '{3, 4}', 'u1');
select results_eq(
  $$ select d.allowed, d.reason, d.period::text, d.subject, d.amount, d.limit_value, d.used, d.is_first, d.batch_id, d.plan_id,
       (d.windows -> 1 ->> 'used')::bigint
     from public.quota_decisions d join grants g on g.decision_id = d.id order by d.used $$,
  $$ values (true, null, 'day', 'u1', 3::bigint, 20::bigint, 3::bigint, false, null::bigint, 'startup', 3::bigint),
       (true, null, 'day', 'u1', 4, 20, 7, false, null, 'startup', 7) $$,
  'at a rate of 1, each has a receipt of the windows as it left them'
);
select consume_quota(tests.tenant_id('acme'), 'tokens');
select is((select count(*) from public.quota_decisions), 2::bigint, 'at 0, none has');
select setseed(0.5);
select consume_quota(tests.tenant_id('acme'), 'api_calls', 1, 'u1') from generate_series(1, 200);
select cmp_ok(
  (select count(*) from public.quota_decisions where metric = 'api_calls'), '>', 50::bigint, 'in between, some have'
);
select cmp_ok(
  (select count(*) from public.quota_decisions where metric = 'api_calls'), '<', 150::bigint, 'but not all'
);
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 100, 'u1') from generate_series(1, 3);
select is((select count(*) from public.quota_decisions where not allowed), 1::bigint, 'denials have theirs whatever the rate');
select throws_ok(
  $$ update public.metrics set receipt_sample_rate = 1.1 where id = 'tokens' $$, '23514', null, 'no rate is above 1'
);

select * from finish();
rollback;
