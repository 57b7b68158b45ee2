begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('corp', 'enterprise');

select is(
  (select row(c.*)::text from consume_quota(tests.tenant_id('acme'), 'executions', 1000) c), '(t,executions,,,,,,,)',
  'a metric without a limit is allowed'
);
select is_empty('select from private.quota_counters', 'and not counted');
select tests.act_as_service_role();
select is(
  (select (allowed, period, limit_value, used, remaining, reason)::text
   from consume_quota(tests.tenant_id('acme'), 'seats', 3, 'u1')),
  '(t,none,,3,,)', 'a gauge without a limit is allowed'
);
select consume_quota(tests.tenant_id('acme'), 'seats', 2);
select tests.act_as_owner();
select results_eq(
  'select subject, used, window_start from private.quota_counters order by subject',
  $$ values ('', 5::bigint, '-infinity'::timestamptz), ('u1', 3, '-infinity') $$,
  'and counted, of the tenant and of the subject'
);
select set_custom_quota(tests.tenant_id('acme'), 'seats', 6);
select is(
  (select (allowed, used, remaining)::text from consume_quota(tests.tenant_id('acme'), 'seats', 2)), '(f,5,1)',
  'so that a limit which comes later finds it right'
);

select is(
  (select (allowed, period, limit_value, used, remaining, reason)::text
   from consume_quota(tests.tenant_id('corp'), 'tokens', 1000000000000)),
  '(t,day,,1000000000000,,)', 'an unlimited one is allowed'
);
select is(
  (select used from consume_quota(tests.tenant_id('corp'), 'tokens', 5)), 1000000000005::bigint, 'and counted'
);
select is(
  (select (allowed, period, limit_value, used)::text from consume_quota(tests.tenant_id('corp'), 'api_calls', 1, 'u1')),
  '(t,day,10000,1)', 'a limited window is tighter than an unlimited one'
);

select * from finish();
rollback;
