begin;
select plan(26);

select tests.create_user('olga');
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner');
select tests.sell_prices();
-- Objects that do not say whose they are.
create function pg_temp.sub(p_customer text, p_status text default 'active') returns jsonb language sql as $$
  select tests.stripe_subscription('acme', 'startup_monthly', p_status, jsonb_build_object(
    'id', 'sub_' || p_customer, 'customer', p_customer, 'metadata', '{}'::jsonb
  ))
$$;
create function pg_temp.bill(p_customer text, p_status text default 'paid', p_attempts int default 1) returns jsonb language sql as $$
  select tests.stripe_invoice('acme', p_status, p_attempts, jsonb_build_object(
    'id', 'in_' || p_customer, 'customer', p_customer, 'parent', null, 'subscription', 'sub_' || p_customer
  ))
$$;
create function pg_temp.due() returns setof text language sql as $$
  select id from public.stripe_events where status = 'failed' and next_attempt_at <= now() order by id
$$;

select results_eq(
  $$ select a.* from ingest_stripe_event(tests.stripe_event('a', 'customer.subscription.created', pg_temp.sub('cus_1'))) a $$,
  $$ values ('a', 'customer.subscription.created', 'failed', null::uuid, null::text, null::text, false,
       'tenant_unknown: No tenant is known for the customer cus_1.') $$,
  'an event of a customer that nobody knows fails'
);
select results_eq(
  $$ select status::text, attempts, last_error, next_attempt_at, applied_at, tenant_id from public.stripe_events $$,
  $$ values ('failed', 1, 'tenant_unknown: No tenant is known for the customer cus_1.', now() + interval '1 minute', null::timestamptz,
       null::uuid) $$,
  'is kept, and tried again in a minute'
);
select is(tests.ingest('b', 'invoice.payment_failed', pg_temp.bill('cus_1', 'open')), 'failed tenant_unknown', 'so does its invoice''s');
select is(tests.ingest('c', 'invoice.paid', pg_temp.bill('cus_1', 'paid', 2), '1 minute'), 'failed tenant_unknown', 'which is paid then');
select is(tests.ingest('d', 'customer.subscription.created', pg_temp.sub('cus_2')), 'failed tenant_unknown', 'another''s as well');
select is_empty('select * from pg_temp.due()', 'none is due yet');
select is(private.retry_stripe_events(), 0, 'so none is tried again');
select is((select count(*) from public.subscriptions), 0::bigint, 'nothing has come of them');

select is(tests.ingest('e', 'customer.updated', '{"id": "cus_1", "object": "customer", "metadata": {}}'), 'processed', 'a customer may name nobody');
select is_empty('select * from pg_temp.due()', 'which helps nobody');
select is(
  tests.ingest('f', 'customer.updated', jsonb_build_object(
    'id', 'cus_1', 'object', 'customer', 'metadata', jsonb_build_object('tenant_id', upper(tests.tenant_id('acme')::text))
  ), '1 minute'), 'processed', 'one that names its tenant'
);
select is((select stripe_customer_id from public.tenants where id = tests.tenant_id('acme')), 'cus_1', 'is linked to it');
select results_eq('select * from pg_temp.due()', array['a', 'b', 'c'], 'and what failed for want of it is due');
select is(private.retry_stripe_events(), 3, 'so it is tried again');
select results_eq(
  $$ select t.plan_id, s.status, i.status from public.tenants t
     join public.subscriptions s on s.tenant_id = t.id join public.invoices i on i.tenant_id = t.id $$,
  $$ values ('startup', 'active', 'paid') $$, 'and applied'
);
select results_eq(
  $$ select id, status::text, attempts, last_error, next_attempt_at from public.stripe_events where id in ('a', 'b', 'c') order by id $$,
  $$ values ('a', 'processed', 2, null::text, null::timestamptz), ('b', 'stale', 2, null, null), ('c', 'processed', 2, null, null) $$,
  'each once'
);
select results_eq(
  'select attempt, status::text from public.payments order by attempt', $$ values (1, 'failed'), (2, 'succeeded') $$, 'with every payment'
);
select is(private.retry_stripe_events(), 0, 'and not again');
select is((select status::text from public.stripe_events where id = 'd'), 'failed', 'the other waits on');

select is(
  tests.ingest('g', 'checkout.session.completed', jsonb_build_object(
    'id', 'cs_1', 'object', 'checkout.session', 'status', 'complete', 'customer', 'cus_2', 'metadata', jsonb_build_object('tenant_id', tests.tenant_id('globex'))
  )), 'processed', 'until a checkout names its tenant'
);
select results_eq('select * from pg_temp.due()', array['d'], 'then it is due');
select is(private.retry_stripe_events(), 1, 'and applied');
select is((select plan_id from public.tenants where id = tests.tenant_id('globex')), 'startup', 'as if it had come now');

select is(
  tests.ingest('h', 'customer.created', '{"id": "cus_3", "object": "customer", "metadata": {"tenant_id": "nobody"}}'), 'failed tenant_unknown',
  'nobody is no tenant'
);
select is(
  tests.ingest('i', 'customer.created', '{"id": "cus_4", "object": "customer"}'), 'processed', 'a customer of something else is nobody''s'
);
select is((select tenant_id from public.stripe_events where id = 'i'), null, 'and belongs to none');

select * from finish();
rollback;
