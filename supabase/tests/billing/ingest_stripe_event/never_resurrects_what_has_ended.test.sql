begin;
select plan(21);

select tests.create_user('olga');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
select tests.sell_prices();
create function pg_temp.state() returns text language sql as $$
  select concat_ws(' ', t.plan_id, s.status, s.is_in_force) from public.tenants t join public.subscriptions s on s.tenant_id = t.id
$$;
create temp table deleted as
select tests.stripe_subscription('acme', 'startup_monthly', 'canceled', jsonb_build_object('ended_at', tests.stripe_now())) as object;

select is((select tests.ingest('d', 'customer.subscription.deleted', object) from deleted), 'processed', 'a deletion may come first');
select is(pg_temp.state(), 'free canceled f', 'it is written down');
select is((select (plan_id, trial_ends_at)::text from public.tenants), '(free,)', 'and gives no plan');
select is(
  tests.ingest('u', 'customer.subscription.updated', tests.stripe_subscription('acme'), '1 hour'), 'stale',
  'what is dated later comes too late'
);
select is(
  tests.ingest('c', 'customer.subscription.created', tests.stripe_subscription('acme'), '-1 hour'), 'stale', 'and what came before it'
);
select is(pg_temp.state(), 'free canceled f', 'what has ended stays so');
select results_eq(
  $$ select ended_at, entitled_until, price_id from public.subscriptions $$,
  $$ values (date_trunc('second', now()), '-infinity'::timestamptz, 'startup_monthly') $$, 'since when it did'
);

select is(tests.ingest('i1', 'invoice.voided', tests.stripe_invoice('acme', 'void')), 'processed', 'a void invoice has ended');
select is(tests.ingest('i2', 'invoice.updated', tests.stripe_invoice('acme', 'open'), '1 hour'), 'stale', 'so it opens no more');
select is((select status from public.invoices), 'void', 'it stays void');
select is(tests.ingest('j1', 'invoice.paid', tests.stripe_invoice('acme', p_more => '{"id": "in_2"}')), 'processed', 'so has a paid one');
select is(
  tests.ingest('j2', 'invoice.updated', tests.stripe_invoice('acme', 'uncollectible', p_more => '{"id": "in_2"}'), '1 hour'), 'stale',
  'which no later event opens'
);
select is(
  tests.ingest('j3', 'invoice.updated', tests.stripe_invoice('acme', 'paid', p_more => '{"id": "in_2", "number": "N-9"}'), '2 hours'),
  'processed', 'though what it says of the end may change'
);
select is((select number from public.invoices where stripe_invoice_id = 'in_2'), 'N-9', 'as it does here');

-- An end that could not be applied yet is one.
select is(
  tests.ingest('e1', 'customer.subscription.deleted', tests.stripe_subscription(
    'acme', p_status => 'canceled', p_more => '{"id": "sub_9", "customer": "cus_9", "metadata": {}}'
  )), 'failed tenant_unknown', 'a deletion may wait for its tenant'
);
select is(
  tests.ingest('e2', 'customer.subscription.updated', tests.stripe_subscription('acme', p_more => '{"id": "sub_9"}'), '1 hour'), 'failed tenant_unknown',
  'and what comes later waits with it'
);
update public.stripe_events set next_attempt_at = now() where id = 'e2';
update public.tenants set stripe_customer_id = 'cus_9';
select is(private.retry_stripe_events(), 1, 'until it is known');
select is((select status from public.subscriptions where stripe_subscription_id = 'sub_9'), 'canceled', 'then it has ended');

-- 'incomplete_expired' is an end as well, and one that no event of a deletion tells of.
select is(
  tests.ingest(
    'x', 'customer.subscription.updated', tests.stripe_subscription('acme', p_status => 'incomplete_expired', p_more => '{"id": "sub_2"}')
  ), 'processed', 'a subscription that was never paid for has ended'
);
select is(
  tests.ingest('y', 'customer.subscription.updated', tests.stripe_subscription('acme', p_more => '{"id": "sub_2"}'), '1 hour'), 'stale',
  'and never begins'
);
select is((select plan_id from public.tenants), 'free', 'so nothing of all this gave a plan');

select * from finish();
rollback;
