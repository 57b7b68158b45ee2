begin;
select plan(7);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
create temp table told as
select tests.stripe_event('a', 'customer.subscription.trial_will_end', tests.stripe_subscription('acme'), '1 hour') as event;

select results_eq(
  'select a.* from told, ingest_stripe_event(event) a',
  $$ values ('a', 'customer.subscription.trial_will_end', 'ignored', null::uuid, null::text, null::text, false, null::text) $$,
  'what nobody applies is ignored'
);
select results_eq(
  $$ select type, object_id, is_final, occurred_at, api_version, payload, status::text, attempts, duplicates, last_error, next_attempt_at,
       applied_at from public.stripe_events $$,
  $$ select 'customer.subscription.trial_will_end', 'sub_acme', false, date_trunc('second', now()) + interval '1 hour',
       '2026-10-28.endive', event, 'ignored', 1, 0, null::text, null::timestamptz, null::timestamptz from told $$,
  'but kept, as it came'
);
select is((select status from told, ingest_stripe_event(event)), 'duplicate', 'once');
select is_empty('select from public.subscriptions', 'it changes nothing');
select is(tests.ingest('b', 'invoice.paid', '{"object": "invoice"}'), 'ignored', 'an object without id is nothing that could be applied');
select is(
  tests.ingest('c', 'customer.subscription.created', tests.stripe_subscription('acme')), 'processed',
  'nor does it make an earlier event of its object stale'
);
select is(
  tests.ingest('d', 'customer.subscription.updated', tests.stripe_subscription('acme', 'pro_monthly'), '1 hour'), 'processed', 'not even one of its second'
);

select * from finish();
rollback;
