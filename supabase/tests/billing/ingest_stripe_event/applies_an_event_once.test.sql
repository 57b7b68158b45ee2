begin;
select plan(10);

select tests.create_user('olga');
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner');
select tests.sell_prices();
create temp table told as
select tests.stripe_event('a', 'customer.subscription.created', tests.stripe_subscription('acme'), '-1 hour') as event;

select results_eq(
  'select a.* from told, ingest_stripe_event(event) a',
  $$ values (
       'a', 'customer.subscription.created', 'processed', tests.tenant_id('acme'), 'startup', 'free', true, null::text
     ) $$,
  'a subscription moves its tenant to the plan'
);
select results_eq(
  $$ select status::text, tenant_id, plan_id, previous_plan_id, attempts, duplicates, last_error, next_attempt_at, received_at,
       occurred_at, applied_at between now() and clock_timestamp() from public.stripe_events $$,
  $$ values ('processed', tests.tenant_id('acme'), 'startup', 'free', 1, 0, null::text, null::timestamptz, now(),
       date_trunc('second', now()) - interval '1 hour', true) $$,
  'which the inbox says'
);
create temp table before as
select (select jsonb_agg(to_jsonb(s)) from public.subscriptions s) as subscriptions,
  (select count(*) from public.audit_events) as events, (select count(*) from public.alert_notifications) as mails;

select results_eq(
  'select a.* from told, ingest_stripe_event(event) a',
  $$ values (
       'a', 'customer.subscription.created', 'duplicate', tests.tenant_id('acme'), null::text, null::text, false, null::text
     ) $$,
  'again, it is a duplicate'
);
select is(
  tests.ingest('a', 'customer.subscription.deleted', tests.stripe_subscription('globex', p_status => 'canceled')), 'duplicate',
  'whatever else it says then'
);
select is((select status from told, ingest_stripe_event(event)), 'duplicate', 'however often');
select is((select (attempts, duplicates)::text from public.stripe_events), '(1,3)', 'which is counted');
select results_eq(
  $$ select (select jsonb_agg(to_jsonb(s)) from public.subscriptions s), (select count(*) from public.audit_events),
       (select count(*) from public.alert_notifications) $$,
  'select * from before', 'and does nothing'
);
select is((select events > 0 and mails = 1 from before), true, 'as the first did');
select is((select payload from public.stripe_events), (select event from told), 'what came first is kept');
select is((select count(*) from public.tenants where plan_id = 'startup'), 1::bigint, 'of one tenant');

select * from finish();
rollback;
