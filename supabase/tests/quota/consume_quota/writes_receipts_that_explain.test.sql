begin;
select plan(3);

select tests.create_user('ann');
select tests.create_tenant('acme', 'startup');
select tests.add_member('acme', 'ann', 'editor');
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'analysis_runs', 'month', 'subject', 10);

select tests.act_as_user('ann');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 9);
create temp table denial as select * from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 2);

select is(
  (select (r.id, r.tenant_id, r.metric, r.period, r.subject, r.amount, r.allowed, r.reason, r.limit_value, r.used, r.plan_id)::text
   from public.quota_decisions r),
  (select (decision_id, tests.tenant_id('acme'), 'analysis_runs', 'month', tests.user_id('ann'), 2, false, 'quota_exceeded',
     10, 9, 'startup')::text from denial),
  'who asked for what, what answered, and on which plan'
);
select is(
  (select window_start from public.quota_decisions), date_trunc('month', now(), 'UTC'), 'in which window'
);
select is(
  (select windows from public.quota_decisions),
  jsonb_build_array(
    jsonb_build_object(
      'period', 'day', 'subject', tests.user_id('ann'), 'limit_value', 20, 'enforcement', 'hard', 'is_override', false,
      'window_start', date_trunc('day', now(), 'UTC'), 'used', 9
    ),
    jsonb_build_object(
      'period', 'month', 'subject', tests.user_id('ann'), 'limit_value', 10, 'enforcement', 'hard', 'is_override', true,
      'window_start', date_trunc('month', now(), 'UTC'), 'used', 9
    )
  ),
  'and every window that was consulted'
);

select * from finish();
rollback;
