begin;
select plan(9);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
create temp view seen as
select stripe_invoice_id, stripe_subscription_id, number, status, billing_reason, currency, total, amount_due, amount_paid,
  amount_remaining, attempt_count, next_payment_attempt_at, period_start - date_trunc('second', now()) as starts,
  period_end - date_trunc('second', now()) as ends, hosted_invoice_url, invoice_pdf, created_at - date_trunc('second', now()) as made,
  paid_at - date_trunc('second', now()) as paid
from public.invoices;

select is(tests.ingest('a', 'invoice.finalized', tests.stripe_invoice('acme', 'open', 0)), 'processed', 'an invoice');
select results_eq(
  'select s.* from seen s',
  $$ values ('in_acme', 'sub_acme', 'N-acme', 'open', 'subscription_cycle', 'usd', 4900::bigint, 4900::bigint, 0::bigint, 4900::bigint, 0,
       null::timestamptz, interval '0', interval '30 days', 'https://invoice.example/acme', null::text, interval '0', null::interval) $$,
  'is mirrored, in the shape of 2025'
);
select tests.ingest('b', 'invoice.updated', tests.stripe_invoice('acme', 'open', 2, jsonb_build_object(
  'id', 'in_acme', 'number', 'N-2', 'billing_reason', 'manual', 'next_payment_attempt', tests.stripe_now('3 days'), 'total', 100,
  'amount_due', 90, 'amount_paid', 10, 'amount_remaining', 80, 'currency', 'eur', 'hosted_invoice_url', null, 'invoice_pdf', 'https://pdf.example',
  'period_start', tests.stripe_now('1 day'), 'period_end', tests.stripe_now('2 days')
)), '1 hour');
select results_eq(
  'select s.* from seen s',
  $$ values ('in_acme', 'sub_acme', 'N-2', 'open', 'manual', 'eur', 100::bigint, 90::bigint, 10::bigint, 80::bigint, 2,
       date_trunc('second', now()) + interval '3 days', interval '1 day', interval '2 days', null::text, 'https://pdf.example', interval '0',
       null::interval) $$,
  'and all of it follows'
);
select tests.ingest('c', 'invoice.paid', tests.stripe_invoice('acme'), '2 hours');
select is((select (status, paid, amount_paid, amount_remaining)::text from seen), '(paid,00:00:05,4900,0)', 'up to its payment');

select is(tests.ingest('d', 'invoice.paid', tests.stripe_invoice('acme', p_more =>
  '{"id": "in_old", "parent": null, "subscription": "sub_old", "charge": "ch_1", "attempt_count": null}')), 'processed', 'one in the older shape');
select results_eq(
  $$ select stripe_subscription_id, attempt_count from seen where stripe_invoice_id = 'in_old' $$, $$ values ('sub_old', 0) $$,
  'names its subscription elsewhere, and perhaps no attempts'
);
select is(tests.ingest('e', 'invoice.paid', tests.stripe_invoice('acme', p_more =>
  jsonb_build_object('id', 'in_none', 'parent', null))), 'processed', 'one of no subscription');
select is((select stripe_subscription_id from seen where stripe_invoice_id = 'in_none'), null, 'is mirrored too');
select tests.ingest('f', 'customer.subscription.created', tests.stripe_subscription('acme', p_more => jsonb_build_object(
  'items', jsonb_build_object('data', jsonb_build_array('{"id": "si_1", "price": {"id": "price_pro_monthly"}}'::jsonb)),
  'current_period_start', tests.stripe_now('1 day'), 'current_period_end', tests.stripe_now('2 days'), 'trial_end', tests.stripe_now('3 days'),
  'cancel_at', tests.stripe_now('4 days'), 'canceled_at', tests.stripe_now('5 days'), 'created', tests.stripe_now('-1 day')
)));
select results_eq(
  $$ select price_id, stripe_item_id, stripe_customer_id, s.t - date_trunc('second', now())
     from public.subscriptions, unnest(array[current_period_start, current_period_end, trial_ends_at, cancel_at, canceled_at, created_at]) as s (t) $$,
  $$ select 'pro_monthly', 'si_1', 'cus_acme', make_interval(days => d) from unnest(array[1, 2, 3, 4, 5, -1]) d $$,
  'the period of an older subscription is its own'
);

select * from finish();
rollback;
