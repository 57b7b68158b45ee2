begin;
select plan(2);

select tests.create_tenant('acme', 'startup');
update public.plan_limits set limit_value = 20 where plan_id = 'startup' and metric = 'analysis_runs' and period = 'month';
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 20, 'u1');

select is(
  (select (allowed, period, resets_at)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, 'u1')),
  (select (false, 'month', private.window_end('month', private.window_start('month', now())))::text),
  'of two full windows, the answer is the one that stays full the longest'
);
insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'analysis_runs', 'none', 0);
select is(
  (select (allowed, period, resets_at, reason)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, 'u1')),
  '(f,none,,not_included)', 'one that never ends stays full the longest'
);

select * from finish();
rollback;
