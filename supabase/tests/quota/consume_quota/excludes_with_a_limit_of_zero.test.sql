begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (tests.tenant_id('acme'), 'tokens', 'day', 0);

select is(
  (select (allowed, period, limit_value, used, remaining, reason)::text from consume_quota(tests.tenant_id('acme'), 'tokens')),
  '(f,day,0,0,0,not_included)', 'is denied as not included'
);
select is((select reason from public.quota_decisions), 'not_included', 'so says the receipt');
select is_empty('select from private.quota_counters', 'and nothing is counted');
update public.tenant_limits set limit_value = 1;
select is((select allowed from consume_quota(tests.tenant_id('acme'), 'tokens')), true, 'included, it is allowed');
select is(
  (select reason from consume_quota(tests.tenant_id('acme'), 'tokens')), 'quota_exceeded', 'and full in the ordinary way'
);

select * from finish();
rollback;
