begin;
select plan(12);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech']) t;
select tests.sell_prices();
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 11);
select set_tenant_plan(tests.tenant_id('globex'), 'trial');

select results_eq(
  $$ select tenant_id, plan_id, price_id, status, current_period_start, current_period_end, cancel_at_period_end, trial_ends_at, grace_ends_at,
       stripe_subscription_id from get_subscription(tests.tenant_id('acme')) $$,
  $$ values (tests.tenant_id('acme'), 'free', null::text, 'none', null::timestamptz, null::timestamptz, false, null::timestamptz,
       null::timestamptz, null::text) $$,
  'without a subscription there is the plan'
);
select is(
  (select plan_details - 'limits' from get_subscription(tests.tenant_id('acme'))),
  '{"plan_id": "free", "name": "Free", "description": "To start with", "price": null}'::jsonb, 'and what it is called'
);
select is(
  (select plan_details -> 'limits' -> 4 from get_subscription(tests.tenant_id('acme'))),
  '{"metric": "workflows", "period": "none", "per": "tenant", "limit_value": 11, "enforcement": "hard"}'::jsonb, 'with the limits in force'
);
select is((select jsonb_array_length(plan_details -> 'limits') from get_subscription(tests.tenant_id('acme'))), 5, 'all of them');
select is((select trial_ends_at from get_subscription(tests.tenant_id('globex'))), now() + interval '14 days', 'a trial ends');

select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme', 'startup_annual', 'trialing', jsonb_build_object(
  'trial_end', tests.stripe_now('7 days'), 'cancel_at_period_end', true)));
select results_eq(
  $$ select plan_id, price_id, status, current_period_start, current_period_end, cancel_at_period_end, trial_ends_at, grace_ends_at,
       stripe_subscription_id, plan_details -> 'price' ->> 'name', plan_details ->> 'name', plan_details -> 'price' -> 'discount_percent'
     from get_subscription(tests.tenant_id('acme')) $$,
  $$ values ('startup', 'startup_annual', 'trialing', date_trunc('second', now()), date_trunc('second', now()) + interval '30 days', true,
       date_trunc('second', now()) + interval '7 days', null::timestamptz, 'sub_acme', 'Startup Audit - Annual', 'Startup', '15.1'::jsonb) $$,
  'with one there is what was bought'
);
select is((select status from get_subscription(tests.tenant_id('initech'))), 'none', 'and nothing of it for another tenant');

-- Which of several speaks for the tenant.
select tests.ingest('b', 'customer.subscription.created', tests.stripe_subscription('acme', 'enterprise_monthly', 'unpaid', jsonb_build_object(
  'id', 'sub_2', 'created', tests.stripe_now('-1 hour'))));
select is((select stripe_subscription_id from get_subscription(tests.tenant_id('acme'))), 'sub_acme', 'the one in force');
select tests.ingest('c', 'customer.subscription.deleted', tests.stripe_subscription('acme', 'startup_annual', 'canceled'), '1 hour');
select is((select (stripe_subscription_id, status)::text from get_subscription(tests.tenant_id('acme'))), '(sub_2,unpaid)', 'else one that is not over');
select tests.ingest('d', 'customer.subscription.deleted', tests.stripe_subscription('acme', 'enterprise_monthly', 'canceled', jsonb_build_object(
  'id', 'sub_2', 'created', tests.stripe_now('-1 hour'))), '1 hour');
select is((select (stripe_subscription_id, status, plan_id)::text from get_subscription(tests.tenant_id('acme'))), '(sub_acme,canceled,free)', 'else the latest');
select tests.ingest('e' || n, 'customer.subscription.created', tests.stripe_subscription('initech', p, p_more => jsonb_build_object(
  'id', 'sub_' || p, 'created', tests.stripe_now(make_interval(hours => n))))) from (values (1, 'enterprise_monthly'), (2, 'startup_monthly')) as x (n, p);
select is((select stripe_subscription_id from get_subscription(tests.tenant_id('initech'))), 'sub_enterprise_monthly', 'of two that are paid for the one in force');
select is(tests.error_of('select get_subscription(gen_random_uuid())'), 'PT404 tenant_not_found', 'a tenant exists');

select * from finish();
rollback;
