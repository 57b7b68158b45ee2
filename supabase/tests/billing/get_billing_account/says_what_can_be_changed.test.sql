begin;
select plan(18);

select tests.create_user(u) from unnest(array['olga', 'adam', 'root']) u;
select tests.create_tenant('acme', 'free');
select set_custom_quota(tests.tenant_id('acme'), 'team_members', 10);
insert into public.memberships (tenant_id, user_id, role, created_at) values
  (tests.tenant_id('acme'), tests.user_id('adam'), 'owner', now() - interval '1 day'), (tests.tenant_id('acme'), tests.user_id('olga'), 'owner', now());
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.sell_prices();
create function pg_temp.account() returns text language sql as $$
  select concat_ws(' ', stripe_customer_id, stripe_subscription_id, stripe_item_id, price_id, status, cancel_at_period_end)
  from get_billing_account(tests.tenant_id('acme'))
$$;
create function pg_temp.tell(p_after interval, p_status text, p_more jsonb default '{}') returns text language sql as $$
  select tests.ingest('e' || p_after, 'customer.subscription.updated', tests.stripe_subscription('acme', 'pro_monthly', p_status, p_more), p_after);
  select pg_temp.account()
$$;

select is(pg_temp.account(), 'f', 'at first a tenant has nothing in Stripe');
select is((select (tenant_id, tenant_name, customer_email)::text from get_billing_account(tests.tenant_id('acme'))),
  format('(%s,acme,adam@example.com)', tests.tenant_id('acme')), 'but a name, and the address of its first owner');
select tests.act_as_user('olga');
select is((select customer_email from get_billing_account(tests.tenant_id('acme'))), 'adam@example.com', 'whichever owner asks');
select tests.act_as_user('root');
select is((select customer_email from get_billing_account(tests.tenant_id('acme'))), 'adam@example.com', 'not of an operator');
select tests.act_as_owner();

select is(pg_temp.tell('1 minute', 'incomplete'), 'cus_acme f', 'one that is not paid for yet is none');
select is(pg_temp.tell('2 minutes', 'active'), 'cus_acme sub_acme si_acme pro_monthly active f', 'one that is can be changed');
select is(pg_temp.tell('3 minutes', 'trialing'), 'cus_acme sub_acme si_acme pro_monthly trialing f', 'so can a trial');
select is(pg_temp.tell('4 minutes', 'past_due'), 'cus_acme sub_acme si_acme pro_monthly past_due f', 'one whose payment failed');
select is(pg_temp.tell('5 minutes', 'unpaid'), 'cus_acme sub_acme si_acme pro_monthly unpaid f', 'that was given up');
select is(pg_temp.tell('6 minutes', 'paused'), 'cus_acme sub_acme si_acme pro_monthly paused f', 'or paused');
select is(pg_temp.tell('7 minutes', 'active', '{"cancel_at_period_end": true}'), 'cus_acme sub_acme si_acme pro_monthly active t', 'one that ends with its period');
update public.tenants set clock_offset = date_trunc('second', now()) + interval '30 days' - interval '1 microsecond' - now();
select is(pg_temp.account(), 'cus_acme sub_acme si_acme pro_monthly active t', 'until it does');
update public.tenants set clock_offset = date_trunc('second', now()) + interval '30 days' - now();
select is(pg_temp.account(), 'cus_acme f', 'in the tenant''s time');
select is(pg_temp.tell('8 minutes', 'active', jsonb_build_object('cancel_at', tests.stripe_now('31 days'))),
  'cus_acme sub_acme si_acme pro_monthly active f', 'one that ends at a date');
update public.tenants set clock_offset = date_trunc('second', now()) + interval '31 days' - now();
select is(pg_temp.account(), 'cus_acme f', 'until then');
select is(pg_temp.tell('9 minutes', 'active'), 'cus_acme sub_acme si_acme pro_monthly active f', 'one that goes on does so whenever its period ends');
select is(pg_temp.tell('10 minutes', 'canceled'), 'cus_acme f', 'one that has ended cannot be changed');
select is(tests.error_of('select get_billing_account(gen_random_uuid())'), 'PT404 tenant_not_found', 'a tenant exists');

select * from finish();
rollback;
