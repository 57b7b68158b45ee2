begin;
select plan(9);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select set_stripe_price('startup_monthly', 'price_new');
select is(
  tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', p_more => '{"cancel_at_period_end": true}'), '1 minute'),
  'processed', 'a subscription by a Stripe price that is offered no more goes on'
);
select is((select cancel_at_period_end from public.subscriptions), true, 'and changes');
select is(tests.ingest('c', 'invoice.paid', tests.stripe_invoice('acme', p_more => jsonb_build_object('lines', jsonb_build_object('data', jsonb_build_array(jsonb_build_object(
    'id', 'il_1', 'amount', 4900, 'price', 'price_startup_monthly', 'period', jsonb_build_object(
      'start', tests.stripe_now('-1 day'), 'end', tests.stripe_now('29 days'))
  )))))), 'processed', 'its invoices as well');
select is((select get_credit_balance(tests.tenant_id('acme'))), 300::bigint, 'and grant what they did');
select is(
  tests.ingest('d', 'customer.subscription.updated', tests.stripe_subscription('acme', p_status => 'unpaid'), '2 minutes'),
  'processed', 'who pays no more'
);
select is((select plan_id from public.tenants where id = tests.tenant_id('acme')), 'free', 'has the plan no more');


-- An invoice that came before its price was known here.
select tests.create_tenant('globex', 'free');
delete from private.stripe_prices where stripe_price_id = 'price_enterprise_monthly';
select is(
  tests.ingest('e', 'invoice.paid', tests.stripe_invoice('globex', p_more => jsonb_build_object('lines', jsonb_build_object('data', jsonb_build_array(
    jsonb_build_object('id', 'il_2', 'amount', 14900, 'price', 'price_enterprise_monthly', 'period', jsonb_build_object(
      'start', tests.stripe_now('-1 day'), 'end', tests.stripe_now('29 days'))
  )))))), 'processed', 'an invoice for something unknown is recorded'
);
select is((select get_credit_balance(tests.tenant_id('globex'))), 0::bigint, 'and grants nothing');
select set_stripe_price('enterprise_monthly', 'price_enterprise_monthly');
select is((select get_credit_balance(tests.tenant_id('globex'))), 1000::bigint, 'until the price is known');

select * from finish();
rollback;
