begin;
select plan(4);

select tests.create_tenant('acme', 'trial'), tests.create_tenant('globex', 'free');
select tests.sell_prices();
update public.billing_plans set trial_days = 7 where id = 'startup';
update public.tenants set plan_id = 'startup' where id = tests.tenant_id('acme');
select isnt((select trial_ends_at from public.tenants where id = tests.tenant_id('acme')), null, 'a tenant is on the trial of a plan');

select tests.ingest(t, 'customer.subscription.created', tests.stripe_subscription(t)) from unnest(array['acme', 'globex']) t;
select is_empty('select from public.tenants where trial_ends_at is not null', 'what is paid for is no trial, though the plan is the same or has one');
update public.tenants set clock_offset = '20 days';
select is(private.expire_trials(), 0, 'so none ends');
select set_eq('select plan_id from public.tenants', array['startup'], 'and the plan stays');

select * from finish();
rollback;
