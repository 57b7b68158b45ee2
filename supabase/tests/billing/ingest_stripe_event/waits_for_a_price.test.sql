begin;
select plan(17);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
select is(
  (select a.error from ingest_stripe_event(tests.stripe_event('a', 'customer.subscription.created', tests.stripe_subscription('acme'))) a),
  'price_unknown: No price is sold by price_startup_monthly.', 'a subscription to what is not for sale here fails'
);
select is(
  tests.ingest('b', 'customer.subscription.created', tests.stripe_subscription('globex', p_more => '{"items": {"data": []}}')),
  'failed price_unknown', 'as does one to nothing'
);
select is(
  tests.ingest('c', 'customer.subscription.deleted', tests.stripe_subscription('globex', 'old', 'canceled', '{"id": "sub_2"}')),
  'failed price_unknown', 'and one that ended before anybody knew of it'
);
select is(
  tests.ingest('t', 'customer.created', '{"id": "cus_3", "object": "customer", "metadata": {"tenant_id": "nobody"}}'), 'failed tenant_unknown',
  'something else fails for another reason'
);
select is(
  (select stripe_customer_id from public.tenants where id = tests.tenant_id('acme')), null, 'of what fails nothing stays, not even the customer'
);

select set_stripe_price('startup_monthly', 'price_startup_monthly');
select results_eq(
  'select id from public.stripe_events where next_attempt_at <= now() order by id', array['a', 'b', 'c'],
  'once a price is for sale they are due'
);
select is(private.retry_stripe_events(), 1, 'and what it sold is applied');
select is((select plan_id from public.tenants where id = tests.tenant_id('acme')), 'startup', 'the plan follows');
select is((select attempts from public.stripe_events where id = 'b'), 2, 'the others fail once more');

-- Of one that has ended the price does not matter any more.
select is(
  tests.ingest('d', 'customer.subscription.updated', tests.stripe_subscription('acme', 'unheard_of'), '1 minute'), 'failed price_unknown',
  'a known subscription to something unknown fails'
);
select is((select plan_id from public.tenants where id = tests.tenant_id('acme')), 'startup', 'and goes on as it was');
select is(
  tests.ingest('e', 'customer.subscription.deleted', tests.stripe_subscription('acme', 'unheard_of', 'canceled'), '2 minutes'), 'processed',
  'but ends'
);
select results_eq(
  'select price_id, status from public.subscriptions', $$ values ('startup_monthly', 'canceled') $$, 'with the price that it had'
);
select is((select plan_id from public.tenants where id = tests.tenant_id('acme')), 'free', 'and so does the plan');

-- The greatest plan of several items counts; what is for none is an extra.
select tests.sell_prices();
select is(
  tests.ingest('f', 'customer.subscription.created', jsonb_build_object('id', 'sub_3') || jsonb_build_object('items', jsonb_build_object('data', (
    select jsonb_agg(jsonb_set(tests.stripe_subscription('globex', p) #> '{items,data,0}', '{id}', to_jsonb('si_' || p)) order by n)
    from unnest(array['extra', 'startup_monthly', 'enterprise_monthly', 'pro_monthly']) with ordinality as i (p, n)
  ))) || (tests.stripe_subscription('globex') - array['items', 'id'])), 'processed', 'a subscription has several items'
);
select results_eq(
  $$ select price_id, stripe_item_id from public.subscriptions where stripe_subscription_id = 'sub_3' $$,
  $$ values ('enterprise_monthly', 'si_enterprise_monthly') $$, 'the greatest plan counts'
);
select tests.ingest('g', 'customer.subscription.deleted', tests.stripe_subscription('globex', 'startup_monthly', 'canceled', '{"id": "sub_3"}'), '1 minute');
select is(
  (select price_id from public.subscriptions where stripe_subscription_id = 'sub_3'), 'startup_monthly', 'and where the end names a price that is known, that one'
);

select * from finish();
rollback;
