begin;
select plan(32);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.sell_prices();
update public.billing_plans set grace_days = 3 where id = 'pro';
create function pg_temp.tell(p_after interval, p_status text, p_price_id text default 'startup_monthly', p_tenant text default 'acme', p_more jsonb default '{}')
returns interval language sql as $$
  select tests.ingest(p_tenant || p_after, 'customer.subscription.updated', tests.stripe_subscription(p_tenant, p_price_id, p_status, p_more), p_after);
  select past_due_since - date_trunc('second', now()) from public.subscriptions where tenant_id = tests.tenant_id(p_tenant)
$$;
create function pg_temp.grace(p_tenant text default 'acme') returns interval language sql as $$
  select grace_ends_at - date_trunc('second', now()) from get_subscription(tests.tenant_id(p_tenant))
$$;
create function pg_temp.plan_of(p_tenant text default 'acme') returns text language sql as $$ select plan_id from public.tenants where id = tests.tenant_id(p_tenant) $$;
create function pg_temp.pass(p_after interval) returns int language sql as $$
  update public.tenants set clock_offset = date_trunc('second', now()) + p_after - now() where id = tests.tenant_id('acme');
  select private.expire_subscriptions()
$$;

select is(pg_temp.tell('1 minute', 'active'), null, 'who pays needs no grace');
select is(pg_temp.grace(), null, 'and has none');
select is(pg_temp.tell('1 hour', 'past_due'), interval '1 hour', 'it begins when a payment fails');
select is(pg_temp.plan_of(), 'startup', 'the plan stays');
select is(pg_temp.grace(), interval '7 days 1 hour', 'for seven days');
select is(pg_temp.tell('5 hours', 'past_due'), interval '1 hour', 'another failure does not begin it anew');
select is(pg_temp.tell('30 minutes', 'past_due'), interval '30 minutes', 'unless it comes late, and was the first');
select is(pg_temp.tell('15 minutes', 'active'), interval '30 minutes', 'a payment from before changes nothing');
select is(pg_temp.tell('6 hours', 'active'), null, 'a payment ends it');
select is(pg_temp.grace(), null, 'for good');
select is(pg_temp.tell('10 hours', 'past_due'), interval '10 hours', 'the next failure begins another');
select is(pg_temp.tell('9 hours', 'active'), interval '10 hours', 'after a payment between them');
select is(pg_temp.tell('11 hours', 'past_due', 'pro_monthly'), interval '10 hours', 'a change of the price does not');
select is(pg_temp.grace(), interval '3 days 10 hours', 'but brings the days of its plan');
select is(pg_temp.tell('12 hours', 'past_due'), interval '10 hours', 'and back');

select is(pg_temp.pass(interval '7 days 10 hours' - interval '1 microsecond'), 0, 'to its last moment the plan stays');
select is(pg_temp.plan_of(), 'startup', 'in force');
select is(pg_temp.pass('7 days 10 hours'), 1, 'and then not');
select is(pg_temp.plan_of(), 'free', 'the tenant is on free');
select is(pg_temp.grace(), interval '7 days 10 hours', 'since then');
select is(pg_temp.tell('13 hours', 'past_due'), interval '10 hours', 'a failure after it');
select is(pg_temp.plan_of(), 'free', 'gives no grace again');
select is(pg_temp.tell('14 hours', 'active'), null, 'a payment');
select is(pg_temp.plan_of(), 'startup', 'brings the plan back');
select is(pg_temp.tell('15 hours', 'unpaid'), null, 'what is given up');
select is(pg_temp.plan_of(), 'free', 'has no grace');

select is(
  pg_temp.tell('1 hour', 'past_due', p_tenant => 'globex', p_more => jsonb_build_object('cancel_at', tests.stripe_now('2 days'))),
  interval '1 hour', 'another that is cancelled as well'
);
select is(pg_temp.grace('globex'), interval '2 days', 'has it no longer than until then');
update public.billing_plans set grace_days = 0 where id = 'startup';
select is(pg_temp.tell('2 hours', 'past_due', p_tenant => 'globex'), interval '1 hour', 'where a plan gives no days');
select is(pg_temp.grace('globex'), interval '1 hour', 'it ends as it begins');
update public.tenants set clock_offset = '1 hour' where id = tests.tenant_id('globex');
select is(private.expire_subscriptions(), 1, 'and the plan with it');
select is(pg_temp.plan_of('globex'), 'free', 'at once');

select * from finish();
rollback;
