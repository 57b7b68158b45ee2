begin;
select plan(12);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', 'pro_monthly'), '1 hour');
select tests.ingest('c', 'charge.refunded', '{"id": "ch_1"}');
select tests.ingest('d', 'customer.subscription.created', tests.stripe_subscription('acme', 'gone', p_more => '{"id": "sub_2"}'));
select tests.ingest('e', 'invoice.voided', tests.stripe_invoice('acme', 'void'));
select tests.ingest('f', 'charge.refunded', '{"id": "ch_2"}');
update public.stripe_events set received_at = now() - interval '90 days 1 second' where id <> 'f';
update public.stripe_events set received_at = now() - interval '90 days' where id = 'f';

select is(private.cleanup_old_stripe_events('91 days'), 0, 'events are kept for a time');
select is(private.cleanup_old_stripe_events(), 4, 'by default, 90 days');
select results_eq('select id from public.stripe_events order by id', array['d', 'f'], 'those that failed for ever');
select is(private.cleanup_old_stripe_events(), 0, 'once');

select is(
  tests.ingest('g', 'customer.subscription.updated', tests.stripe_subscription('acme', 'enterprise_monthly'), '59 minutes'), 'stale',
  'an event from before what was forgotten is stale all the same'
);
select is((select plan_id from public.tenants), 'pro', 'and undoes nothing');
select is((select (status, tenant_id)::text from public.stripe_events where id = 'g'), '(stale,)', 'it is kept');
select is(
  tests.ingest('h', 'customer.subscription.updated', tests.stripe_subscription('acme', 'enterprise_monthly'), '61 minutes'), 'processed',
  'one from after it is applied'
);
select is((select plan_id from public.tenants), 'enterprise', 'as it says');
select is(
  tests.ingest('i', 'invoice.updated', tests.stripe_invoice('acme', 'open'), '2 hours'), 'stale', 'what had ended stays ended'
);
select is((select status from public.invoices), 'void', 'as it was');

select tests.act_as_service_role();
select is(tests.error_of('select private.cleanup_old_stripe_events()'), '42501', 'no API role forgets them');

select * from finish();
rollback;
