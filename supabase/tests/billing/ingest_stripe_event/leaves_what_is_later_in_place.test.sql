begin;
select plan(10);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
create function pg_temp.state() returns text language sql as $$
  select concat_ws(' ', t.plan_id, s.status, s.price_id) from public.tenants t join public.subscriptions s on s.tenant_id = t.id
$$;

select is(
  tests.ingest('late', 'customer.subscription.updated', tests.stripe_subscription('acme', 'enterprise_monthly'), '2 hours'), 'processed',
  'an update may come before what it updates'
);
select is(tests.ingest('early', 'customer.subscription.created', tests.stripe_subscription('acme')), 'stale', 'which is stale then');
select results_eq(
  $$ select status::text, tenant_id, plan_id, applied_at is not null from public.stripe_events where id = 'early' $$,
  $$ values ('stale', tests.tenant_id('acme'), null::text, true) $$, 'as the inbox says'
);
select is(pg_temp.state(), 'enterprise active enterprise_monthly', 'and undoes nothing');
select is(
  tests.ingest('second', 'customer.subscription.updated', tests.stripe_subscription('acme'), '2 hours -1 second'), 'stale',
  'nor does one of a second before'
);
select is(
  tests.ingest('third', 'customer.subscription.updated', tests.stripe_subscription('acme'), '2 hours 1 second'), 'processed',
  'one of a second later does'
);
select is(pg_temp.state(), 'startup active startup_monthly', 'and the plan follows');
select is(
  (select (a.plan_id, a.previous_plan_id, a.is_upgrade)::text
   from ingest_stripe_event(tests.stripe_event(
     'fourth', 'customer.subscription.updated', tests.stripe_subscription('acme', 'pro_monthly'), '3 hours'
   )) a),
  '(pro,startup,t)', 'up'
);
select is(
  (select (a.plan_id, a.previous_plan_id, a.is_upgrade)::text
   from ingest_stripe_event(tests.stripe_event(
     'fifth', 'customer.subscription.updated', tests.stripe_subscription('acme'), '4 hours'
   )) a),
  '(startup,pro,f)', 'or down'
);
select is(
  tests.ingest('other', 'customer.subscription.created', tests.stripe_subscription('acme', p_more => '{"id": "sub_2"}')), 'processed',
  'another object has events of its own'
);

select * from finish();
rollback;
