begin;
select plan(12);

select tests.create_user('olga');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
select tests.sell_prices();
create temp table before as select (select count(*) from public.audit_events) as events;

-- After the subscription has been written and the mail has been put out, the plan cannot follow.
create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'Not today.' using errcode = 'XX001'; end $$;
create trigger refuse before update of plan_id on public.tenants for each row execute function pg_temp.refuse();
select is(
  (select (a.status, a.tenant_id, a.plan_id, a.previous_plan_id, a.is_upgrade, a.error)::text from ingest_stripe_event(
    tests.stripe_event('a', 'customer.subscription.created', tests.stripe_subscription('acme'))
  ) a),
  '(failed,,,,f,"XX001: Not today.")', 'what fails in the middle fails'
);
select is((select last_error from public.stripe_events), 'XX001: Not today.', 'with the reason');
select is_empty('select from public.subscriptions', 'the subscription is not there');
select is_empty('select from public.alert_notifications', 'nor the mail');
select is_empty('select from private.stripe_objects', 'nor what its object stands at');
select is((select stripe_customer_id from public.tenants), null, 'nor the customer');
select is((select count(*) from public.audit_events), (select events from before), 'nor a record of a change');

drop trigger refuse on public.tenants;
select is(
  tests.ingest('b', 'invoice.paid', tests.stripe_invoice('acme', p_more => '{"currency": null}')), 'failed 23502',
  'an invoice that lacks a part fails'
);
select is_empty('select from public.invoices', 'and is not there');
update public.stripe_events set next_attempt_at = now();
select is(private.retry_stripe_events(), 1, 'what can be applied later');
select is((select plan_id from public.tenants), 'startup', 'is');
select is((select count(*) from public.alert_notifications), 1::bigint, 'in all its parts');

select * from finish();
rollback;
