begin;
select plan(6);

-- Two events of one invoice fail for want of a tenant; the earlier one is tried again alone, by Stripe or by an operator, and
-- so the later one is applied with it.
select tests.create_user('olga');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
create function pg_temp.bill(p_status text, p_attempts int) returns jsonb language sql as $$
  select tests.stripe_invoice('acme', p_status, p_attempts, '{"parent": null}')
$$;
select tests.ingest('a', 'invoice.payment_failed', pg_temp.bill('open', 1));
select tests.ingest('b', 'invoice.paid', pg_temp.bill('paid', 2), '1 minute');
select results_eq(
  'select id, status::text from public.stripe_events order by id', $$ values ('a', 'failed'), ('b', 'failed') $$, 'both fail'
);
update public.tenants set stripe_customer_id = 'cus_acme';

select is(tests.ingest('a', 'invoice.payment_failed', pg_temp.bill('open', 1)), 'stale', 'the earlier is tried again');
select is((select status from public.invoices), 'paid', 'the invoice is as the later one says');
update public.stripe_events set next_attempt_at = now();
select private.retry_stripe_events();
select results_eq(
  $$ select id, status::text from public.stripe_events order by id $$,
  $$ values ('a', 'stale'), ('b', 'processed') $$, 'both are dealt with'
);
select results_eq(
  'select attempt, status::text from public.payments order by attempt', $$ values (1, 'failed'), (2, 'succeeded') $$,
  'both payments are recorded'
);
select set_eq(
  $$ select payload ->> 'template' from public.alert_notifications $$, array['payment_succeeded'], 'and the owner hears of the last'
);

select * from finish();
rollback;
