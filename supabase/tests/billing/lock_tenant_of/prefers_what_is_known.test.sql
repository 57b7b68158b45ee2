begin;
select plan(23);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech']) t;
select tests.sell_prices();
-- A subscription of a customer that names a tenant.
create function pg_temp.sub(p_id text, p_customer text, p_named text, p_more jsonb default '{}') returns jsonb language sql as $$
  select tests.stripe_subscription(p_named, p_more => jsonb_build_object('id', p_id, 'customer', p_customer) || p_more)
$$;
create function pg_temp.owner_of(p_id text) returns text language sql as $$
  select t.name from public.subscriptions s join public.tenants t on t.id = s.tenant_id where s.stripe_subscription_id = p_id
$$;
create function pg_temp.customer_of(p_tenant text) returns text language sql as $$
  select stripe_customer_id from public.tenants where id = tests.tenant_id(p_tenant)
$$;

select tests.ingest('a', 'customer.subscription.created', pg_temp.sub('sub_1', 'cus_1', 'acme'));
select is(pg_temp.owner_of('sub_1'), 'acme', 'a customer that is not known is that of the tenant in the metadata');
select is(pg_temp.customer_of('acme'), 'cus_1', 'and linked to it');
select tests.ingest('b', 'customer.subscription.created', pg_temp.sub('sub_2', 'cus_1', 'globex'));
select is(pg_temp.owner_of('sub_2'), 'acme', 'then the customer counts, whatever tenant the metadata name');
select is(pg_temp.customer_of('globex'), null, 'which stays without');
select is((select plan_id from public.tenants where id = tests.tenant_id('globex')), 'free', 'and gets no plan of it');

select tests.ingest('c', 'customer.subscription.created', pg_temp.sub('sub_3', 'cus_3', 'globex'));
select is(pg_temp.customer_of('globex'), 'cus_3', 'another has a customer of its own');
select is(
  tests.ingest('d', 'customer.subscription.updated', pg_temp.sub('sub_1', 'cus_3', 'globex'), '1 minute'), 'processed',
  'a subscription that is known'
);
select is(pg_temp.owner_of('sub_1'), 'acme', 'stays its tenant''s, whatever customer and metadata it has');
select is(pg_temp.customer_of('acme'), 'cus_1', 'and so does the customer');

select tests.ingest('e', 'customer.subscription.created', pg_temp.sub('sub_5', 'cus_5', 'acme'));
select is(pg_temp.owner_of('sub_5'), 'acme', 'a second customer may name a tenant');
select is(pg_temp.customer_of('acme'), 'cus_1', 'which keeps the first');
select tests.ingest('f', 'customer.subscription.created', pg_temp.sub('sub_6', 'cus_6', 'acme', '{"customer": {"id": "cus_6"}, "metadata": {}}'));
select is(pg_temp.owner_of('sub_6'), null, 'no customer, no tenant');
select tests.ingest('g', 'customer.subscription.created', pg_temp.sub('sub_7', 'cus_3', 'acme', '{"customer": {"id": "cus_3"}, "metadata": {}}'));
select is(pg_temp.owner_of('sub_7'), 'globex', 'a customer may come expanded');

-- An invoice is its subscription's tenant's, in both shapes.
select tests.ingest('h', 'invoice.finalized', tests.stripe_invoice('initech', 'open', p_more =>
  '{"id": "in_1", "customer": "cus_3", "parent": {"subscription_details": {"subscription": "sub_1"}}}'));
select tests.ingest('i', 'invoice.finalized', tests.stripe_invoice('initech', 'open', p_more =>
  '{"id": "in_2", "customer": "cus_3", "parent": null, "subscription": {"id": "sub_1"}}'));
select tests.ingest('j', 'invoice.finalized', tests.stripe_invoice('initech', 'open', p_more => '{"id": "in_3", "customer": "cus_3"}'));
select tests.ingest('k', 'invoice.finalized', tests.stripe_invoice('initech', 'open', p_more => '{"id": "in_4", "customer": "cus_8"}'));
select set_eq(
  'select i.stripe_invoice_id, t.name from public.invoices i join public.tenants t on t.id = i.tenant_id',
  $$ values ('in_1', 'acme'), ('in_2', 'acme'), ('in_3', 'globex'), ('in_4', 'initech') $$,
  'an invoice is that of its subscription, else of its customer, else of the tenant that it names'
);
select is(pg_temp.customer_of('initech'), 'cus_8', 'and links as well');
update public.tenants set stripe_customer_id = null where id = tests.tenant_id('initech');
select tests.ingest('l', 'invoice.finalized', tests.stripe_invoice('initech', 'open', p_more => jsonb_build_object(
  'id', 'in_5', 'customer', 'cus_9', 'parent', null, 'subscription', 'sub_9',
  'subscription_details', jsonb_build_object('metadata', jsonb_build_object('tenant_id', tests.tenant_id('initech')))
)));
select is(pg_temp.customer_of('initech'), 'cus_9', 'the older shape names its tenant elsewhere');

-- A customer that is deleted is nobody's any more.
select is(tests.ingest('m', 'customer.deleted', '{"id": "cus_9", "object": "customer"}', '1 minute'), 'processed', 'a customer is deleted');
select is(pg_temp.customer_of('initech'), null, 'and not linked any more');
select is((select tenant_id from public.stripe_events where id = 'm'), tests.tenant_id('initech'), 'it was its tenant''s');
select is(
  tests.ingest('n', 'customer.updated', jsonb_build_object(
    'id', 'cus_9', 'object', 'customer', 'metadata', jsonb_build_object('tenant_id', tests.tenant_id('initech'))
  ), '1 hour'), 'stale', 'what comes of it later'
);
select tests.ingest('o', 'customer.subscription.deleted', tests.stripe_subscription('initech', p_status => 'canceled', p_more => '{"customer": "cus_9"}'), '1 hour');
select is((select stripe_customer_id from public.subscriptions where stripe_subscription_id = 'sub_initech'), 'cus_9', 'or of its subscription');
select is(pg_temp.customer_of('initech'), null, 'does not link it again');
select is(pg_temp.customer_of('acme'), 'cus_1', 'another''s stays');

select * from finish();
rollback;
