begin;
select plan(15);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
create function pg_temp.tell(p_after interval, p_price_id text, p_status text default 'active', p_more jsonb default '{}') returns text
language sql as $$
  select tests.ingest('e' || p_after, case p_status when 'canceled' then 'customer.subscription.deleted' else 'customer.subscription.updated' end,
    tests.stripe_subscription('acme', p_price_id, p_status, p_more), p_after);
  select concat_ws(' ', t.plan_id, s.is_in_force, s.entitled_until)
  from public.tenants t left join public.subscriptions s on s.tenant_id = t.id and s.is_in_force
$$;

select is(pg_temp.tell('1 minute', 'startup_monthly', 'incomplete'), 'free', 'one that is not paid for yet gives no plan');
select is(pg_temp.tell('2 minutes', 'startup_monthly'), 'startup t infinity', 'one that is active does');
select is(
  (select limit_value from public.entitlements where metric = 'analysis_runs' and period = 'month'), 200::bigint, 'with its limits, at once'
);
select is(pg_temp.tell('3 minutes', 'enterprise_annual'), 'enterprise t infinity', 'a greater one as well');
select is(
  (select limit_value from public.entitlements where metric = 'analysis_runs' and period = 'month'), 5000::bigint, 'with its own'
);
select is(pg_temp.tell('4 minutes', 'startup_annual'), 'startup t infinity', 'and a lesser one');
select is(pg_temp.tell('5 minutes', 'startup_monthly', 'unpaid'), 'free', 'unpaid gives nothing');
select is(pg_temp.tell('6 minutes', 'pro_monthly', 'trialing'), 'pro t infinity', 'a trial in Stripe counts');
select is(pg_temp.tell('7 minutes', 'pro_monthly', 'paused'), 'free', 'a paused one does not');
select is(pg_temp.tell('8 minutes', 'pro_monthly'), 'pro t infinity', 'until it goes on');
select is(pg_temp.tell('9 minutes', 'pro_monthly', 'unheard_of'), 'free', 'nor what nobody has heard of');
select is(pg_temp.tell('10 minutes', 'pro_monthly'), 'pro t infinity', 'active again');
select is(pg_temp.tell('11 minutes', 'pro_monthly', 'canceled'), 'free', 'its end moves the tenant to free');

select results_eq(
  $$ select old_values ->> 'plan_id', new_values ->> 'plan_id', event_type, metadata ->> 'stripe_event_id',
       metadata ->> 'stripe_subscription_id'
     from public.audit_events where entity_type = 'tenant' and event_type in ('plan_changed', 'trial_upgraded')
     order by length(metadata ->> 'stripe_event_id'), metadata ->> 'stripe_event_id' $$,
  $$ values ('free', 'startup', 'plan_changed', 'e00:02:00', 'sub_acme'), ('startup', 'enterprise', 'plan_changed', 'e00:03:00', 'sub_acme'),
       ('enterprise', 'startup', 'plan_changed', 'e00:04:00', 'sub_acme'), ('startup', 'free', 'plan_changed', 'e00:05:00', 'sub_acme'),
       ('free', 'pro', 'plan_changed', 'e00:06:00', 'sub_acme'), ('pro', 'free', 'plan_changed', 'e00:07:00', 'sub_acme'),
       ('free', 'pro', 'plan_changed', 'e00:08:00', 'sub_acme'), ('pro', 'free', 'plan_changed', 'e00:09:00', 'sub_acme'),
       ('free', 'pro', 'plan_changed', 'e00:10:00', 'sub_acme'), ('pro', 'free', 'plan_changed', 'e00:11:00', 'sub_acme') $$,
  'each change is recorded with its event'
);
select is(
  (select count(*) from public.audit_events where event_type = 'subscription_cancelled'), 1::bigint, 'and the end once'
);

select * from finish();
rollback;
