begin;
select plan(7);

select tests.create_tenant('acme', 'startup');
update public.plan_limits set limit_value = 30 where plan_id = 'startup' and metric = 'analysis_runs' and period = 'month';
create temp view counters as select period::text, used from private.quota_counters order by private.quota_counters.period;

select is(
  (select (allowed, period, limit_value, used, remaining)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 15, 'u1')),
  '(t,day,20,15,5)', 'answers for the window with the least left'
);
select results_eq('select * from counters', $$ values ('day', 15::bigint), ('month', 15) $$, 'takes from both windows');

select is(
  (select (allowed, period, used, remaining)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 6, 'u1')),
  '(f,day,15,5)', 'is denied by the day alone'
);
select results_eq('select * from counters', $$ values ('day', 15::bigint), ('month', 15) $$, 'which takes from neither');

update public.tenants set clock_offset = '1 day' where id = tests.tenant_id('acme');
update private.quota_counters
set window_start = private.window_start('month', private.tenant_now(tests.tenant_id('acme'))) where period = 'month';
select is(
  (select (allowed, period, limit_value, used, remaining)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, 'u1')),
  '(t,month,30,16,14)', 'the next day, the month is the tightest'
);
select is(
  (select (allowed, period, used, remaining)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 15, 'u1')),
  '(f,month,16,14)', 'and it denies, though the day has room'
);
select results_eq('select * from counters', $$ values ('day', 1::bigint), ('month', 16) $$, 'taking from neither');

select * from finish();
rollback;
