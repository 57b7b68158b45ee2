begin;
select plan(4);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
create function pg_temp.delete() returns text language sql as $$
  select tests.error_of($q$ delete from public.tenants where id = tests.tenant_id('acme') $q$)
$$;

select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select is(pg_temp.delete(), 'PT409 subscription_running', 'a tenant that Stripe would go on to charge is not deleted');
select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', p_status => 'past_due'), '1 minute');
select is(pg_temp.delete(), 'PT409 subscription_running', 'nor one that owes');
select tests.ingest('c', 'customer.subscription.deleted', tests.stripe_subscription('acme', p_status => 'canceled'), '2 minutes');
select is(pg_temp.delete(), null, 'one whose subscription has ended is');
select is((select count(*) from public.subscriptions), 0::bigint, 'with all of it');

select * from finish();
rollback;
