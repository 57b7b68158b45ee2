begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('corp', 'enterprise');

select is(
  (select row(c.*)::text from consume_quota(tests.tenant_id('acme'), 'seats', 1000) c), '(t,seats,,,,,,,)',
  'a metric without a limit is allowed'
);
select is_empty('select from private.quota_counters', 'and not counted');

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
