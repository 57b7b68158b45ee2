begin;
select plan(6);

select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
create temp table told as
select tests.stripe_event('a', 'customer.subscription.created', tests.stripe_subscription('acme')) as event;
select is((select status from told, ingest_stripe_event(event)), 'failed', 'an event fails');
select is((select status from told, ingest_stripe_event(event)), 'failed', 'and again when it comes again');
select results_eq(
  'select attempts, duplicates, next_attempt_at from public.stripe_events', $$ values (2, 1, now() + interval '2 minutes') $$,
  'it has been tried twice'
);
select tests.sell_prices();
select results_eq(
  'select a.* from told, ingest_stripe_event(event) a',
  $$ values ('a', 'customer.subscription.created', 'processed', tests.tenant_id('acme'), 'startup', 'free', true, null::text) $$,
  'once it can be applied, it is'
);
select results_eq(
  'select status::text, attempts, duplicates, last_error, next_attempt_at from public.stripe_events',
  $$ values ('processed', 3, 2, null::text, null::timestamptz) $$, 'and the reason is forgotten'
);
select is((select status from told, ingest_stripe_event(event)), 'duplicate', 'then it is a duplicate');

select * from finish();
rollback;
