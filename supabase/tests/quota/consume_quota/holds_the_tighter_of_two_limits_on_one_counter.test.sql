begin;
select plan(6);

-- Without a subject, a limit of the tenant and one of each subject count on the same counter.
select tests.create_tenant('acme', 'startup');
insert into public.plan_limits (plan_id, metric, period, per, limit_value) values ('startup', 'api_calls', 'day', 'tenant', 500);

select is(
  (select (allowed, limit_value, used)::text from consume_quota(tests.tenant_id('acme'), 'api_calls', 501)), '(f,500,0)',
  'the tighter denies'
);
select is(
  (select (allowed, limit_value, used)::text from consume_quota(tests.tenant_id('acme'), 'api_calls', 500)), '(t,500,500)',
  'and is the one that is reported'
);
select is(
  (select count(*) from private.quota_counters where period = 'day'), 1::bigint, 'an amount is counted once'
);
select is(
  (select (allowed, limit_value)::text from consume_quota(tests.tenant_id('acme'), 'api_calls', 1, 'u1')), '(f,500)',
  'a named subject has the tenant''s limit, too'
);

update public.plan_limits set enforcement = 'soft'
where plan_id = 'startup' and metric = 'api_calls' and period = 'day' and per = 'tenant';
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'api_calls', 501)), false,
  'a soft limit that is the tighter does not lift the hard one'
);
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'api_calls', 500)), true, 'which has its own room'
);

select * from finish();
rollback;
