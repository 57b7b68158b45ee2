begin;
select plan(9);

select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null where id = 'pro_monthly';
update public.plan_prices set stripe_price_id = 'price_' || id where id <> 'pro_monthly';
create function pg_temp.error(p_price_id text) returns text language sql as $$
  select tests.error_of(format('select check_plan_change(%L, %L)', tests.tenant_id('acme'), p_price_id))
$$;

select is(pg_temp.error('startup_monthly'), 'PT409 no_subscription', 'who has no subscription cannot change it');
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select results_eq(
  $$ select * from check_plan_change(tests.tenant_id('acme'), 'enterprise_annual') $$,
  $$ values (tests.tenant_id('acme'), 'sub_acme', 'si_acme', 'enterprise_annual', 'price_enterprise_annual') $$,
  'another price is what Stripe has to be told'
);
select is((select price_id from public.subscriptions), 'startup_monthly', 'nothing is changed by it');
select is(pg_temp.error('startup_monthly'), 'PT409 price_unchanged', 'the same price is none');
select is(pg_temp.error('pro_monthly'), 'PT409 price_not_for_sale', 'one without a Stripe price is not for sale');
select is(pg_temp.error('gold'), 'PT404 price_not_found', 'nor one that is not there');
select is(pg_temp.error(null), 'PT404 price_not_found', 'nor none');
select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', p_more => '{"cancel_at_period_end": true}'), '1 minute');
select is(pg_temp.error('startup_monthly'), null, 'one that would end keeps its price by going on');
select tests.ingest('c', 'customer.subscription.deleted', tests.stripe_subscription('acme', p_status => 'canceled'), '2 minutes');
select is(pg_temp.error('enterprise_annual'), 'PT409 no_subscription', 'what has ended cannot be changed');

select * from finish();
rollback;
