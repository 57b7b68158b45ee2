begin;
select plan(28);

select tests.create_user('olga');
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner');
update public.plan_prices set stripe_price_id = null where id = 'pro_monthly';
update public.plan_prices set stripe_price_id = 'price_' || id where id <> 'pro_monthly';
create function pg_temp.begin(p_price_id text, p_key text default null, p_tenant text default 'acme', p_ip text default null) returns text language sql as $$
  select tests.error_of(format('select begin_checkout(%L, %L, %L, %L)', tests.tenant_id(p_tenant), p_price_id, p_key, p_ip))
$$;

select tests.act_as_user('olga');
select set_config('request.headers', '{"x-real-ip": "192.0.2.1"}', true);
create temp table made as select * from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k1', '203.0.113.7');
grant select on made to authenticated, service_role;
select tests.act_as_owner();
select results_eq(
  'select c.* from made c',
  $$ select id, tests.tenant_id('acme'), 'acme', 'startup_monthly', 'price_startup_monthly', null::text, 'olga@example.com', array[]::text[] from public.checkout_sessions $$,
  'a checkout is what Stripe has to be told'
);
select results_eq(
  $$ select price_id, status::text, actor_id, idempotency_key, stripe_session_id, ip_address, clicked_at, opened_at, expires_at, completed_at
     from public.checkout_sessions $$,
  $$ values ('startup_monthly', 'clicked', tests.user_id('olga')::text, 'k1', null::text, '203.0.113.7'::inet, now(), null::timestamptz,
       null::timestamptz, null::timestamptz) $$,
  'and recorded, with who clicked, and from where'
);

select tests.act_as_user('olga');
select is((select checkout_id from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k1')), (select checkout_id from made), 'the same key is the same click');
select is(pg_temp.begin('startup_annual', 'k1'), 'PT409 idempotency_key_reused', 'but not for another price');
select is(pg_temp.begin('startup_monthly', ''), 'PT400 invalid_idempotency_key', 'a key is not empty');
select is(pg_temp.begin('startup_monthly', repeat('x', 256)), 'PT400 invalid_idempotency_key', 'nor longer than 255 characters');
select is(pg_temp.begin('startup_monthly', repeat('x', 255)), null, 'it may be as long');
select is(pg_temp.begin('startup_annual', p_ip => 'nowhere'), null, 'what is no address is none');
select is(pg_temp.begin('startup_annual'), null, 'nor is one needed');
select tests.act_as_owner();
select set_config('request.headers', '', true);
select set_eq(
  'select ip_address, count(*) from public.checkout_sessions group by 1',
  $$ values ('203.0.113.7'::inet, 1::bigint), ('192.0.2.1', 3) $$, 'without one it is that of the request; without a key each is another click'
);
select is(pg_temp.begin('pro_monthly'), 'PT409 price_not_for_sale', 'a price without a Stripe price is not for sale');
select is(pg_temp.begin('gold'), 'PT404 price_not_found', 'nor one that is not there');
select is(tests.error_of($$ select begin_checkout(gen_random_uuid(), 'startup_monthly') $$), 'PT404 tenant_not_found', 'a tenant exists');
select is(pg_temp.begin('startup_monthly', 'k1', 'globex'), null, 'another tenant has keys of its own');
select is((select count(*) from public.checkout_sessions where tenant_id = tests.tenant_id('globex')), 1::bigint, 'and clicks');

-- Who has a subscription changes its plan instead.
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme', p_status => 'incomplete'));
select is(pg_temp.begin('startup_monthly', 'k2'), null, 'a subscription that is not paid for keeps nobody from another');
select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', p_status => 'paused'), '1 minute');
select is(pg_temp.begin('enterprise_annual', 'k3'), 'PT409 already_subscribed', 'one that may still be charged for does');
select is(pg_temp.begin('startup_monthly', 'k2'), 'PT409 already_subscribed', 'also from what they began before');
select is(pg_temp.begin('enterprise_annual', 'k3', 'globex'), null, 'nor other tenants');
select tests.ingest('c', 'customer.subscription.updated', tests.stripe_subscription('acme', p_more => '{"cancel_at_period_end": true}'), '2 minutes');
select is(pg_temp.begin('enterprise_annual', 'k4'), 'PT409 already_subscribed', 'one that will end does');
update public.tenants set clock_offset = '30 days' where id = tests.tenant_id('acme');
select is(pg_temp.begin('enterprise_annual', 'k4'), null, 'until it has, in the tenant''s time');
select is((select stripe_customer_id from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k2')), 'cus_acme', 'Stripe''s customer is told');

-- Of two sessions both could be paid.
select record_checkout_session(checkout_id, 'cs_1', now() + interval '1 day') from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k5');
select record_checkout_session(checkout_id, 'cs_old', now()) from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k6');
select is((select open_session_ids from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k7')), array['cs_1'], 'sessions that are open are told');
select is((select open_session_ids from begin_checkout(tests.tenant_id('acme'), 'startup_monthly', 'k5')), array[]::text[], 'but not a checkout''s own');

-- 100 a day.
delete from public.checkout_sessions;
insert into public.checkout_sessions (tenant_id, price_id, clicked_at, idempotency_key)
select tests.tenant_id('acme'), 'startup_monthly', now() - interval '24 hours' + make_interval(secs => n), 'n' || n from generate_series(0, 99) n;
select is(pg_temp.begin('startup_monthly'), null, 'the hundredth of a day is let in');
select is(pg_temp.begin('startup_monthly'), 'PT429 too_many_checkouts', 'and no other');
select is(pg_temp.begin('startup_monthly', 'n5'), null, 'but what was begun before');
select is(pg_temp.begin('startup_monthly', p_tenant => 'globex'), null, 'and other tenants');

select * from finish();
rollback;
