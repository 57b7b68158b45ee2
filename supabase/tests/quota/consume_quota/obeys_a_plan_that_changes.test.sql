begin;
select plan(9);

select tests.create_tenant('acme', 'pro');
create function pg_temp.take(p_amount bigint, p_metric text default 'tokens') returns text language sql as $$
  select (c.allowed, c.limit_value, c.used, c.reason)::text from consume_quota(tests.tenant_id('acme'), p_metric, p_amount) c
$$;

select is(pg_temp.take(20000), '(t,500000,20000,)', 'what is used on one plan');
update public.tenants set plan_id = 'trial' where id = tests.tenant_id('acme');
select is(pg_temp.take(1), '(f,10000,20000,quota_exceeded)', 'counts on a smaller one');
select is(
  (select (used, remaining, percentage, band, overage)::text from get_quota_status(tests.tenant_id('acme')) where metric = 'tokens'),
  '(20000,0,200.00,critical,10000)', 'which is then exceeded'
);
update public.tenants set plan_id = 'starter' where id = tests.tenant_id('acme');
select is(pg_temp.take(80000), '(t,100000,100000,)', 'a larger one gives the difference');
select is(pg_temp.take(1), '(f,100000,100000,quota_exceeded)', 'and no more');
update public.tenants set plan_id = 'enterprise' where id = tests.tenant_id('acme');
select is(pg_temp.take(900000), '(t,,1000000,)', 'one without a limit gives all');
select is((select used from private.quota_counters where metric = 'tokens'), 1000000::bigint, 'on one counter');

-- A plan that counts by other windows begins them with what is taken from then on.
select pg_temp.take(5, 'analysis_runs');
update public.tenants set plan_id = 'startup' where id = tests.tenant_id('acme');
select is(pg_temp.take(15, 'analysis_runs'), '(t,20,20,)', 'a window that both have goes on');
select is(pg_temp.take(7), '(t,,,)', 'one that the new plan lacks is not counted');

select * from finish();
rollback;
