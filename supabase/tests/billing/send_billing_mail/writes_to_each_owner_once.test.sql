begin;
select plan(23);

select tests.create_user(u) from unnest(array['olga', 'oskar', 'frank', 'adam', 'vic', 'bob']) u;
insert into auth.users (id) values (tests.user_id('phone')); -- who has no address
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select set_custom_quota(tests.tenant_id('acme'), 'team_members', 10);
select tests.add_member('acme', u, r) from (values
  ('olga', 'owner'::public.member_role), ('oskar', 'owner'), ('frank', 'owner'), ('phone', 'owner'), ('adam', 'admin'), ('vic', 'viewer')
) as m (u, r);
select tests.add_member('globex', 'bob', 'owner');
select suspend_user(tests.user_id('frank'), 'Fraud.');
select tests.sell_prices();
create function pg_temp.tell(p_id text, p_status text, p_after interval, p_price_id text default 'startup_monthly', p_more jsonb default '{}') returns text[]
language sql as $$
  select tests.ingest(p_id, case p_status when 'canceled' then 'customer.subscription.deleted' else 'customer.subscription.updated' end,
    tests.stripe_subscription('acme', p_price_id, p_status, p_more), p_after);
  select array(
    select recipient || ' ' || (payload ->> 'template') from public.alert_notifications where kind = 'billing' and tenant_id = tests.tenant_id('acme')
    order by 1
  )
$$;
create function pg_temp.forget() returns void language sql as $$ delete from public.alert_notifications $$;

select is(pg_temp.tell('a', 'incomplete', '1 minute'), '{}', 'of a subscription that is not paid for nobody hears');
select is(
  pg_temp.tell('b', 'active', '2 minutes'), array['olga@example.com subscription_created', 'oskar@example.com subscription_created'],
  'once it is, each owner does; who is suspended or has no address does not, nor who is no owner'
);
select results_eq(
  $$ select tenant_id, kind, status::text, payload from public.alert_notifications where recipient = 'olga@example.com' $$,
  $$ values (tests.tenant_id('acme'), 'billing', 'pending', jsonb_build_object(
       'template', 'subscription_created', 'key', 'subscription_created:sub_acme', 'tenant_name', 'acme', 'plan_id', 'startup',
       'price_id', 'startup_monthly', 'status', 'active', 'stripe_subscription_id', 'sub_acme', 'cancel_at_period_end', false,
       'current_period_end', date_trunc('second', now()) + interval '30 days'
     )) $$,
  'of what they bought'
);
select pg_temp.tell('b', 'active', '2 minutes'), pg_temp.tell('c', 'active', '3 minutes', p_more => '{"metadata": {"x": 1}}');
select pg_temp.tell('d', 'active', '1 minute');
select is(pg_temp.tell('e', 'past_due', '4 minutes'), array['olga@example.com subscription_created', 'oskar@example.com subscription_created'],
  'not twice, nor of anything that is none of theirs');
select is(pg_temp.tell('f', 'active', '5 minutes'), array['olga@example.com subscription_created', 'oskar@example.com subscription_created'], 'nor later');

select pg_temp.forget();
select is(
  pg_temp.tell('g', 'active', '6 minutes', 'pro_monthly'), array['olga@example.com subscription_updated', 'oskar@example.com subscription_updated'],
  'of another price they hear'
);
select is((select payload ->> 'plan_id' from public.alert_notifications limit 1), 'pro', 'which they have now');
select is(cardinality(pg_temp.tell('g', 'active', '6 minutes', 'pro_monthly')), 2, 'once');
select pg_temp.forget();
select is(cardinality(pg_temp.tell('h', 'active', '7 minutes', 'pro_monthly', '{"cancel_at_period_end": true}')), 2, 'and that it ends');
select is((select payload ->> 'cancel_at_period_end' from public.alert_notifications limit 1), 'true', 'with the period');
select is(cardinality(pg_temp.tell('i', 'active', '8 minutes', 'pro_monthly', '{"cancel_at_period_end": true, "cancel_at": 4000000000}')), 4, 'or at a date');
select is(cardinality(pg_temp.tell('j', 'unpaid', '9 minutes', 'startup_monthly')), 4, 'of one that gives nothing they do not');
select pg_temp.forget();
select is(
  pg_temp.tell('k', 'canceled', '10 minutes'), array['olga@example.com subscription_cancelled', 'oskar@example.com subscription_cancelled'],
  'but that it has ended'
);
select results_eq(
  $$ select action, severity::text, entity_type, entity_id, tenant_id, new_values ->> 'plan_id' from public.audit_events
     where event_type = 'subscription_cancelled' $$,
  $$ values ('cancelled', 'info', 'subscription', 'sub_acme', tests.tenant_id('acme'), 'startup') $$, 'which is recorded'
);
select is(cardinality(pg_temp.tell('l', 'canceled', '11 minutes')), 2, 'once');
select is((select count(*) from public.audit_events where event_type = 'subscription_cancelled'), 1::bigint, 'both');

select pg_temp.forget();
select is(pg_temp.tell('m', 'incomplete', '1 minute', p_more => '{"id": "sub_2"}'), '{}', 'another one');
select is(pg_temp.tell('n', 'incomplete_expired', '2 minutes', p_more => '{"id": "sub_2"}'), '{}', 'that was never paid for ends unheard');
select is((select count(*) from public.audit_events where event_type = 'subscription_cancelled'), 1::bigint, 'and unrecorded');
select is(
  pg_temp.tell('o', 'canceled', '1 minute', p_more => '{"id": "sub_3"}'),
  array['olga@example.com subscription_cancelled', 'oskar@example.com subscription_cancelled'], 'one that they heard nothing of before does not'
);
select is(
  pg_temp.tell('p', 'trialing', '1 minute', p_more => '{"id": "sub_4"}') @> array['olga@example.com subscription_created'], true, 'a trial begins one as well'
);
select is_empty($$ select from public.alert_notifications where kind = 'billing' and recipient not in ('olga@example.com', 'oskar@example.com') $$,
  'nobody else hears of any of this');
select is(
  tests.error_of($$ insert into public.alert_notifications (kind, recipient, payload) select kind, recipient, payload from public.alert_notifications $$),
  '23505', 'the same mail is not in the outbox twice'
);

select * from finish();
rollback;
