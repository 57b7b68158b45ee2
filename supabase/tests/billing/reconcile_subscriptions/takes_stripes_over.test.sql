begin;
select plan(20);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech', 'hooli']) t;
select tests.sell_prices();
select tests.ingest(t, 'customer.subscription.created', tests.stripe_subscription(t, p_more => jsonb_build_object('created', tests.stripe_now('-3 hours'))), '-2 hours')
from unnest(array['acme', 'globex', 'initech']) t;
select tests.ingest('e', 'customer.subscription.deleted', tests.stripe_subscription('initech', p_status => 'canceled', p_more =>
  '{"id": "sub_over", "created": 1}'), '-2 hours');
create function pg_temp.reconcile(p_objects jsonb[], p_after interval, p_is_complete boolean default true) returns setof public.subscription_difference language sql as $$
  select * from reconcile_subscriptions(to_jsonb(p_objects), now() + p_after, p_is_complete)
$$;
create function pg_temp.sub(p_tenant text, p_price_id text default 'startup_monthly', p_status text default 'active', p_more jsonb default '{}')
returns jsonb language sql as $$
  select tests.stripe_subscription(p_tenant, p_price_id, p_status, jsonb_build_object('created', tests.stripe_now('-3 hours')) || p_more)
$$;
create temp table before as select count(*) as events from public.audit_events;

select is_empty(
  $$ select * from pg_temp.reconcile(array[pg_temp.sub('initech'), pg_temp.sub('acme'), pg_temp.sub('globex')], '-1 hour') $$,
  'what is the same is no difference'
);
select is((select count(*) from public.audit_events), (select events from before), 'nor recorded');
select results_eq(
  $$ select d.* from pg_temp.reconcile(array[
       pg_temp.sub('initech'), pg_temp.sub('globex'),
       pg_temp.sub('acme', 'pro_monthly', 'past_due', jsonb_build_object('cancel_at_period_end', true, 'customer', 'cus_2', 'trial_end', 1000000000))
     ], '-30 minutes') d $$,
  $$ values ('sub_acme', tests.tenant_id('acme'), 'cancel_at_period_end', 'false', 'true'), ('sub_acme', tests.tenant_id('acme'), 'price_id', 'startup_monthly', 'pro_monthly'),
       ('sub_acme', tests.tenant_id('acme'), 'status', 'active', 'past_due'), ('sub_acme', tests.tenant_id('acme'), 'stripe_customer_id', 'cus_acme', 'cus_2'),
       ('sub_acme', tests.tenant_id('acme'), 'trial_ends_at', null, '2001-09-09T01:46:40+00:00') $$,
  'each field that differs is one'
);
select is((select (t.plan_id, s.status, s.price_id)::text from public.tenants t join public.subscriptions s on s.tenant_id = t.id where t.id = tests.tenant_id('acme')),
  '(pro,past_due,pro_monthly)', 'Stripe''s are taken over, and the plan follows');
select results_eq(
  $$ select tenant_id, action, severity::text, entity_type, entity_id, new_values from public.audit_events where event_type = 'subscription_reconciled' $$,
  $$ values (tests.tenant_id('acme'), 'reconciled', 'warning', 'subscription', 'sub_acme', '{
       "status": ["active", "past_due"], "price_id": ["startup_monthly", "pro_monthly"], "cancel_at_period_end": [false, true],
       "stripe_customer_id": ["cus_acme", "cus_2"], "trial_ends_at": [null, "2001-09-09T01:46:40+00:00"]}'::jsonb) $$,
  'which is recorded as one'
);
select is(
  (select past_due_since from public.subscriptions where stripe_subscription_id = 'sub_acme'), date_trunc('second', now() - interval '30 minutes'), 'as of when Stripe was asked'
);

-- One that nobody told of, one that cannot be applied, and one that Stripe has no more.
select results_eq(
  $$ select d.* from pg_temp.reconcile(array[
       pg_temp.sub('acme', 'pro_monthly', 'past_due', jsonb_build_object('cancel_at_period_end', true, 'customer', 'cus_2', 'trial_end', 1000000000)),
       pg_temp.sub('hooli', 'enterprise_monthly'), pg_temp.sub('globex'), pg_temp.sub('globex', 'gone', p_more => '{"id": "sub_gone"}')
     ], '-20 minutes') d $$,
  $$ values ('sub_gone', null::uuid, 'error', null, 'price_unknown: No price is sold by price_gone.'), ('sub_hooli', tests.tenant_id('hooli'), 'subscription', null, 'active'),
       ('sub_initech', tests.tenant_id('initech'), 'missing', 'active', null) $$,
  'one that is new, one that fails, one that is missing'
);
select is((select plan_id from public.tenants where id = tests.tenant_id('hooli')), 'enterprise', 'what is new is applied');
select is((select plan_id from public.tenants where id = tests.tenant_id('initech')), 'startup', 'what is missing is left to an operator');
select is((select count(*) from public.audit_events where event_type = 'subscription_reconciled' and entity_id in ('sub_gone', 'sub_hooli')), 1::bigint, 'what is a tenant''s is recorded');

select is_empty($$ select * from pg_temp.reconcile('{}', '-19 minutes', false) $$, 'of a part of them none is missing');
select set_eq(
  $$ select stripe_subscription_id, field from pg_temp.reconcile('{}', '-18 minutes') $$,
  $$ values ('sub_acme', 'missing'), ('sub_globex', 'missing'), ('sub_hooli', 'missing'), ('sub_initech', 'missing') $$, 'of all, all that have not ended are'
);
select is_empty($$ select * from pg_temp.reconcile('{}', '-3 hours -1 second') $$, 'but none that was made since');
select is((select count(*) from reconcile_subscriptions('[]', now())), 4::bigint, 'by default they are all');

-- What Stripe said before a later event is no difference.
select tests.ingest('later', 'customer.subscription.updated', pg_temp.sub('globex', 'enterprise_monthly'), '-5 minutes');
select is_empty($$ select * from pg_temp.reconcile(array[pg_temp.sub('globex')], '-10 minutes', false) $$, 'an older answer is none');
select is((select plan_id from public.tenants where id = tests.tenant_id('globex')), 'enterprise', 'and undoes nothing');
select is_empty($$ select * from pg_temp.reconcile(array[pg_temp.sub('globex')], '-5 minutes', false) $$, 'nor one of the same second');
select is((select plan_id from public.tenants where id = tests.tenant_id('globex')), 'enterprise', 'which an event follows');
select results_eq(
  $$ select field, theirs from pg_temp.reconcile(array[pg_temp.sub('initech', p_status => 'canceled', p_more => jsonb_build_object('ended_at', 1000000000))], '-4 minutes', false) $$,
  $$ values ('ended_at', '2001-09-09T01:46:40+00:00'), ('status', 'canceled') $$, 'an end that nobody told of is one'
);
select is((select plan_id from public.tenants where id = tests.tenant_id('initech')), 'free', 'and ends the plan');

select * from finish();
rollback;
