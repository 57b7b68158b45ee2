begin;
select plan(24);

select tests.create_user('olga');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
select tests.sell_prices();
create function pg_temp.bill(p_status text, p_attempts int, p_id text default 'in_acme', p_more jsonb default '{}', p_total int default 4900)
returns jsonb language sql as $$ select tests.stripe_invoice('acme', p_status, p_attempts, jsonb_build_object('id', p_id) || p_more, p_total) $$;
create function pg_temp.mails() returns setof text language sql as $$
  select payload ->> 'template' || ' ' || (payload ->> 'attempt') from public.alert_notifications where kind = 'billing'
$$;

select tests.ingest('a', 'invoice.finalized', pg_temp.bill('open', 0));
select tests.ingest('a2', 'invoice.payment_action_required', pg_temp.bill('open', 1), '1 minute');
select is_empty('select from public.payments', 'an invoice that is made is no payment');
select tests.ingest('b', 'invoice.payment_failed', pg_temp.bill('open', 1, p_more =>
  jsonb_build_object('next_payment_attempt', tests.stripe_now('3 days'), 'amount_due', 5000, 'payments', '{"data": [{"payment": {"payment_intent": "pi_1"}}]}'::jsonb)), '1 hour');
select results_eq(
  $$ select p.tenant_id, p.stripe_invoice_id, p.attempt, p.status::text, p.stripe_payment_id, p.amount, p.currency, p.occurred_at from public.payments p $$,
  $$ values (tests.tenant_id('acme'), 'in_acme', 1, 'failed', 'pi_1', 4900::bigint, 'usd', date_trunc('second', now()) + interval '1 hour') $$,
  'one that fails is recorded, with what was due'
);
select results_eq(
  $$ select event_type, action, severity::text, result::text, entity_type, entity_id, tenant_id, new_values from public.audit_events
     where event_type like 'payment\_%' $$,
  $$ values ('payment_failed', 'failed', 'error', 'failure', 'payment', 'pi_1', tests.tenant_id('acme'), jsonb_build_object(
       'stripe_invoice_id', 'in_acme', 'attempt', 1, 'status', 'failed', 'stripe_payment_id', 'pi_1', 'amount', 4900, 'currency', 'usd',
       'occurred_at', date_trunc('second', now()) + interval '1 hour', 'number', 'N-acme',
       'hosted_invoice_url', 'https://invoice.example/acme', 'next_payment_attempt_at', date_trunc('second', now()) + interval '3 days'
     )) $$,
  'as an error in the audit'
);
select set_eq('select pg_temp.mails()', array['payment_failed 1'], 'and the owner hears of it');
select tests.ingest('c', 'invoice.payment_failed', pg_temp.bill('open', 1), '1 hour 1 second');
select is((select count(*) from public.payments), 1::bigint, 'an attempt fails once');
select tests.ingest('d', 'invoice.payment_failed', pg_temp.bill('open', 2, p_more => '{"payments": {"data": [{"payment": {"charge": "ch_2"}}]}}'), '3 days');
select is((select stripe_payment_id from public.payments where attempt = 2), 'ch_2', 'the next is another, which a charge names');

select is(tests.ingest('e', 'invoice.paid', pg_temp.bill('paid', 3, p_more => '{"charge": {"id": "ch_3"}, "total": 5000}'), '5 days'), 'processed', 'a payment');
select tests.ingest('f', 'invoice.payment_succeeded', pg_temp.bill('paid', 3, p_more => '{"charge": "ch_3"}'), '5 days');
select results_eq(
  $$ select attempt, status::text, stripe_payment_id, amount, occurred_at - date_trunc('second', now()) from public.payments order by attempt $$,
  $$ values (1, 'failed', 'pi_1', 4900::bigint, interval '1 hour'), (2, 'failed', 'ch_2', 4900, interval '3 days'),
       (3, 'succeeded', 'ch_3', 4900, interval '5 seconds') $$,
  'is recorded once, of the two events that tell of it, at the time that Stripe says'
);
select results_eq(
  $$ select action, severity::text, result::text, entity_id from public.audit_events where event_type = 'payment_succeeded' $$,
  $$ values ('succeeded', 'info', 'success', 'ch_3') $$, 'as a success in the audit'
);
select set_eq('select pg_temp.mails()', array['payment_failed 1', 'payment_failed 2', 'payment_succeeded 3'], 'and the owner hears of it once');
select is((select count(*) from pg_temp.mails()), 3::bigint, 'indeed');

-- A failure that comes late, after the payment.
select is(tests.ingest('g', 'invoice.paid', pg_temp.bill('paid', 2, 'in_2'), '2 days'), 'processed', 'an invoice is paid');
select is(tests.ingest('h', 'invoice.payment_failed', pg_temp.bill('open', 1, 'in_2'), '1 day'), 'stale', 'of which a failure comes late');
select results_eq(
  $$ select attempt, status::text, stripe_payment_id from public.payments where stripe_invoice_id = 'in_2' order by attempt $$,
  $$ values (1, 'failed', 'in_2'), (2, 'succeeded', 'in_2') $$, 'it is recorded, under the invoice where Stripe names no payment'
);
select is((select count(*) from public.audit_events where event_type = 'payment_failed' and new_values ->> 'stripe_invoice_id' = 'in_2'), 1::bigint, 'and audited');
select is_empty($$ select from public.alert_notifications where payload ->> 'stripe_invoice_id' = 'in_2' and payload ->> 'template' = 'payment_failed' $$,
  'but no news any more');

-- A failure of an invoice that is open still, later than its last event.
select tests.ingest('i', 'invoice.updated', pg_temp.bill('open', 1, 'in_3'), '2 days');
select is(tests.ingest('j', 'invoice.payment_failed', pg_temp.bill('open', 1, 'in_3', '{"payment_intent": "pi_3"}'), '1 day'), 'stale', 'one of an open invoice');
select is((select stripe_payment_id from public.payments where stripe_invoice_id = 'in_3'), 'pi_3', 'is recorded as well');
select is((select count(*) from public.alert_notifications where payload ->> 'stripe_invoice_id' = 'in_3'), 1::bigint, 'and the owner hears of it');

select is(tests.ingest('k', 'invoice.paid', pg_temp.bill('paid', 0, 'in_4', p_total => 0)), 'processed', 'an invoice over nothing');
select is((select status from public.invoices where stripe_invoice_id = 'in_4'), 'paid', 'is paid');
select is_empty($$ select from public.payments where stripe_invoice_id = 'in_4' $$, 'without a payment');
select tests.ingest('l', 'invoice.voided', pg_temp.bill('void', 1, 'in_5'));
select tests.ingest('m', 'invoice.marked_uncollectible', pg_temp.bill('uncollectible', 1, 'in_6'));
select tests.ingest('n', 'invoice.updated', pg_temp.bill('paid', 1, 'in_7'));
select is_empty($$ select from public.payments where stripe_invoice_id in ('in_5', 'in_6', 'in_7') $$, 'nothing else tells of one');
select tests.ingest('o', 'invoice.paid', pg_temp.bill('paid', 1, 'in_8', '{"status_transitions": {}, "attempt_count": null}'), '1 hour');
select results_eq(
  $$ select attempt, occurred_at - date_trunc('second', now()) from public.payments where stripe_invoice_id = 'in_8' $$,
  $$ values (0, interval '1 hour') $$, 'where Stripe does not say when, the event''s time counts'
);

select * from finish();
rollback;
