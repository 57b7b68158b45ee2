begin;
select plan(28);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech']) t;
select tests.sell_prices();
create function pg_temp.plan_of(p_tenant text) returns text language sql as $$ select plan_id from public.tenants where id = tests.tenant_id(p_tenant) $$;
-- The time of a tenant, so long after the second in which the test began.
create function pg_temp.pass(p_tenant text, p_after interval) returns int language sql as $$
  update public.tenants set clock_offset = date_trunc('second', now()) + p_after - now() where id = tests.tenant_id(p_tenant);
  select private.expire_subscriptions()
$$;
select tests.ingest(t, 'customer.subscription.created', tests.stripe_subscription(t, p_more => m)) from (values
  ('acme', '{"cancel_at_period_end": true}'::jsonb), ('globex', jsonb_build_object('cancel_at', tests.stripe_now('10 days'))),
  ('initech', '{}')
) as x (t, m);

select is(pg_temp.plan_of(t), 'startup', 'who cancels at the end keeps the plan') from unnest(array['acme', 'globex', 'initech']) t;
select is((select entitled_until from public.subscriptions where tenant_id = tests.tenant_id(t)), u, 'as long as was paid for')
from (values ('acme', date_trunc('second', now()) + interval '30 days'), ('globex', date_trunc('second', now()) + interval '10 days'), ('initech', 'infinity'))
  as x (t, u);
select is(private.expire_subscriptions(), 0, 'nothing has ended yet');
select is(pg_temp.pass('acme', interval '30 days' - interval '1 microsecond'), 0, 'nor a moment before the end of the period');
select is(pg_temp.plan_of('acme'), 'startup', 'the plan is there');
select is(pg_temp.pass('acme', '30 days'), 1, 'at its end it is over, in the tenant''s time');
select is(pg_temp.plan_of('acme'), 'free', 'and the plan is free');
select is(
  (select limit_value from public.entitlements where tenant_id = tests.tenant_id('acme') and metric = 'workflows'), 10::bigint, 'with its limits'
);
select results_eq(
  $$ select event_type, old_values ->> 'plan_id', new_values ->> 'plan_id', metadata, actor_type::text from public.audit_events
     where tenant_id = tests.tenant_id('acme') and metadata ->> 'reason' is not null $$,
  $$ values ('plan_changed', 'startup', 'free', '{"reason": "deadline", "stripe_subscription_id": "sub_acme"}'::jsonb, 'system') $$,
  'which is recorded'
);
select is(private.expire_subscriptions(), 0, 'once');
select is(pg_temp.plan_of('globex'), 'startup', 'another''s clock is behind');
select is(pg_temp.pass('globex', '10 days -1 second'), 0, 'a date to cancel at is not reached before it is');
select is(pg_temp.pass('globex', '10 days'), 1, 'but then');
select is(pg_temp.plan_of('globex'), 'free', 'and ends the plan');
select is(pg_temp.pass('initech', '300 days'), 0, 'what nobody has cancelled goes on');
select is(pg_temp.plan_of('initech'), 'startup', 'as long as Stripe says nothing else');

-- Whoever changes their mind in time.
select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('initech', p_more => '{"cancel_at_period_end": true}'), '1 minute');
select is(pg_temp.plan_of('initech'), 'free', 'what ended before, in the tenant''s time, ends at once');
select is(private.expire_subscriptions(), 0, 'without waiting for the schedule');
select tests.ingest('c', 'customer.subscription.updated', tests.stripe_subscription('initech'), '2 minutes');
select is(pg_temp.plan_of('initech'), 'startup', 'and goes on when it is kept');

-- The other subscription takes over.
select tests.ingest('d', 'customer.subscription.updated', tests.stripe_subscription('initech', 'enterprise_monthly', p_more =>
  jsonb_build_object('id', 'sub_2', 'cancel_at', tests.stripe_now('301 days'))), '2 minutes');
select is(pg_temp.plan_of('initech'), 'enterprise', 'a greater one beside it, for a day');
select is(pg_temp.pass('initech', '301 days'), 1, 'ends');
select is(pg_temp.plan_of('initech'), 'startup', 'and leaves the other');
select is(private.expire_subscriptions(), 0, 'which goes on');
select tests.act_as_service_role();
select is(tests.error_of('select private.expire_subscriptions()'), '42501', 'no API role expires them');

select * from finish();
rollback;
