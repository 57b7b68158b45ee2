begin;
select plan(17);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech', 'hooli']) t;
select tests.sell_prices();
select set_tenant_plan(tests.tenant_id(t), p) from (values ('acme', 'trial'), ('globex', 'unlimited'), ('initech', 'trial'), ('hooli', 'trial')) as x (t, p);
create function pg_temp.state(p_tenant text) returns text language sql as $$
  select concat_ws(' ', plan_id, trial_ends_at - now()) from public.tenants where id = tests.tenant_id(p_tenant)
$$;

select tests.ingest('a' || n, 'customer.subscription.created', tests.stripe_subscription(t, p_status => s))
from (values (1, 'acme', 'incomplete'), (2, 'globex', 'incomplete')) as x (n, t, s);
select is(pg_temp.state('acme'), 'trial 14 days', 'a subscription that was not paid for leaves the trial alone');
select is(pg_temp.state('globex'), 'unlimited', 'and the plan that an operator gave');
select tests.ingest('b' || n, 'customer.subscription.updated', tests.stripe_subscription(t, p_status => 'incomplete_expired'), '1 minute')
from (values (1, 'acme'), (2, 'globex')) as x (n, t);
select is(pg_temp.state('acme') || ' ' || pg_temp.state('globex'), 'trial 14 days unlimited', 'as does its end');
select tests.ingest('c', 'customer.created', jsonb_build_object('id', 'cus_acme', 'object', 'customer'));
select tests.ingest('d', 'invoice.paid', tests.stripe_invoice('acme'));
select is(pg_temp.state('acme'), 'trial 14 days', 'and all else that Stripe tells');
select is_empty($$ select from public.audit_events where event_type in ('plan_changed', 'trial_upgraded') and new_values ->> 'plan_id' = 'free' $$, 'nobody moved');
select is(private.expire_subscriptions(), 0, 'nor does time move them');

-- One that is paid for upgrades the trial.
select tests.ingest('e', 'customer.subscription.created', tests.stripe_subscription('initech', 'pro_monthly'));
select is(pg_temp.state('initech'), 'pro', 'a trial is over once the tenant pays');
select results_eq(
  $$ select action, old_values ->> 'plan_id', new_values, metadata - 'stripe_event_id' from public.audit_events
     where event_type = 'trial_upgraded' and tenant_id = tests.tenant_id('initech') $$,
  $$ values ('upgraded', 'trial', '{"plan_id": "pro", "trial_ends_at": null}'::jsonb, '{"stripe_subscription_id": "sub_initech"}'::jsonb) $$,
  'it was upgraded'
);
select is(private.expire_trials(), 0, 'so it does not expire');

-- What an operator gives stands until the subscriptions change.
select set_tenant_plan(tests.tenant_id('initech'), 'unlimited');
select tests.ingest('f', 'invoice.paid', tests.stripe_invoice('initech'));
select is(pg_temp.state('initech'), 'unlimited', 'an operator may give a plan beside a subscription');
select tests.ingest('g', 'customer.subscription.updated', tests.stripe_subscription('initech', 'startup_monthly'), '1 minute');
select is(pg_temp.state('initech'), 'startup', 'until that changes');
select tests.ingest('h', 'customer.subscription.deleted', tests.stripe_subscription('initech', 'startup_monthly', 'canceled'), '2 minutes');
select is(pg_temp.state('initech'), 'free', 'or ends');
select set_tenant_plan(tests.tenant_id('initech'), 'unlimited');
select tests.ingest('i', 'customer.subscription.deleted', tests.stripe_subscription('initech', 'startup_monthly', 'canceled'), '3 minutes');
select is(pg_temp.state('initech'), 'unlimited', 'then the operator''s plan stands again');

-- Whoever had a subscription and is on trial again is moved to free by the end of one that is in force alone.
select tests.ingest('j', 'customer.subscription.created', tests.stripe_subscription('hooli', p_status => 'trialing'));
select is(pg_temp.state('hooli'), 'startup', 'a trial in Stripe ends the trial here');
select tests.ingest('k', 'customer.subscription.updated', tests.stripe_subscription('hooli', p_status => 'paused'), '1 minute');
select is(pg_temp.state('hooli'), 'free', 'and where nobody pays in the end the tenant is on free');
select tests.ingest('l', 'customer.subscription.updated', tests.stripe_subscription('hooli'), '2 minutes');
select set_tenant_plan(tests.tenant_id('hooli'), 'trial');
select tests.ingest('m', 'customer.subscription.deleted', tests.stripe_subscription('hooli', p_status => 'canceled'), '3 minutes');
select is(pg_temp.state('hooli'), 'free', 'even one that an operator put on trial beside it');
select is(
  (select event_type from public.audit_events where metadata ->> 'stripe_event_id' = 'm'), 'plan_changed', 'which is no upgrade of a trial'
);

select * from finish();
rollback;
