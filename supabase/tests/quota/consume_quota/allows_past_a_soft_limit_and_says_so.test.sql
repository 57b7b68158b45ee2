begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
update public.plan_limits set enforcement = 'soft' where plan_id = 'trial' and metric = 'tokens';

select is(
  (select (allowed, used, remaining, reason)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 10000)),
  '(t,10000,0,)', 'within the limit nothing is said'
);
select is(
  (select (allowed, limit_value, used, remaining, reason)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 5)),
  '(t,10000,10005,0,soft_limit_exceeded)', 'past it, it is allowed and reported'
);
select is(
  (select c.decision_id from consume_quota(tests.tenant_id('acme'), 'tokens', 1) c), null,
  'further on, without another receipt'
);
select results_eq(
  'select allowed, reason, amount, limit_value, used, is_first from public.quota_decisions',
  $$ values (true, 'soft_limit_exceeded', 5::bigint, 10000::bigint, 10005::bigint, false) $$,
  'the crossing left one'
);
select is_empty($$ select from public.audit_events where event_type ~ 'exceeded' $$, 'which is no denial to be audited');

insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'tokens', 'month', 10007);
select is(
  (select (allowed, period, reason)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 10008)),
  '(f,month,quota_exceeded)', 'a hard window beside it still denies'
);

select * from finish();
rollback;
