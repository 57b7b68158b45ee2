begin;
select plan(14);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.sell_prices();
select tests.ingest('g', 'customer.subscription.created', tests.stripe_subscription('globex'));
create function pg_temp.tell(p_after interval, p_id text, p_price_id text, p_status text default 'active', p_more jsonb default '{}') returns text
language sql as $$
  select tests.ingest('e' || p_after, case p_status when 'canceled' then 'customer.subscription.deleted' else 'customer.subscription.updated' end,
    tests.stripe_subscription('acme', p_price_id, p_status, jsonb_build_object('id', p_id) || p_more), p_after);
  select concat_ws(' ', t.plan_id, s.stripe_subscription_id)
  from public.tenants t left join public.subscriptions s on s.tenant_id = t.id and s.is_in_force where t.id = tests.tenant_id('acme')
$$;

select is(pg_temp.tell('1 minute', 'one', 'pro_monthly'), 'pro one', 'one subscription');
select is(pg_temp.tell('2 minutes', 'two', 'startup_annual'), 'pro one', 'a lesser one beside it changes nothing');
select is(pg_temp.tell('3 minutes', 'three', 'enterprise_monthly'), 'enterprise three', 'a greater one does');
select is(pg_temp.tell('4 minutes', 'three', 'enterprise_monthly', 'canceled'), 'pro one', 'when it ends the next takes over');
select is(pg_temp.tell('5 minutes', 'one', 'pro_monthly', 'unpaid'), 'startup two', 'and the next');
select is(pg_temp.tell('6 minutes', 'one', 'pro_monthly'), 'pro one', 'until one is paid for again');
select is(
  pg_temp.tell('7 minutes', 'four', 'pro_monthly', p_more => jsonb_build_object('created', tests.stripe_now('1 minute'))), 'pro four',
  'of two that are as great the later one counts'
);
select is(
  pg_temp.tell('8 minutes', 'five', 'pro_monthly', p_more => jsonb_build_object('created', tests.stripe_now('1 minute'))), 'pro five',
  'of two of one second, one of them'
);
select is(pg_temp.tell('9 minutes', 'five', 'pro_monthly', 'canceled'), 'pro four', 'and then the other');
select is(pg_temp.tell('10 minutes', 'two', 'startup_annual', 'canceled'), 'pro four', 'the end of one that was not in force changes nothing');
select is(pg_temp.tell('11 minutes', 'four', 'pro_monthly', 'canceled'), 'pro one', 'so each');
select is(pg_temp.tell('12 minutes', 'one', 'pro_monthly', 'canceled'), 'free', 'up to the last');
select is(
  (select (t.plan_id, s.is_in_force)::text from public.tenants t join public.subscriptions s on s.tenant_id = t.id where t.id = tests.tenant_id('globex')),
  '(startup,t)', 'another tenant keeps its own'
);
select is(
  (select count(*) from public.audit_events where event_type = 'plan_changed' and tenant_id = tests.tenant_id('acme')), 6::bigint,
  'the plan changed as often as it had to'
);

select * from finish();
rollback;
