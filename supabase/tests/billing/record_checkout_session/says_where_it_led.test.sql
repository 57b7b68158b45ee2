begin;
select plan(27);

select tests.create_user(u) from unnest(array['olga', 'bob']) u;
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner'), tests.add_member('globex', 'bob', 'owner');
select tests.sell_prices();
create temp table made as select (begin_checkout(tests.tenant_id('acme'), 'startup_monthly', k)).checkout_id as id, k from unnest(array['a', 'b', 'c', 'd']) k;
grant select on made to authenticated, service_role, anon;
create function pg_temp.record(p_key text, p_session text default 'cs_1') returns text language sql as $$
  select tests.error_of(format('select record_checkout_session(%L, %L, %L)', (select id from made where k = p_key), p_session, now() + interval '1 day'))
$$;
create function pg_temp.session(p_id text, p_key text, p_status text, p_more jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('id', p_id, 'object', 'checkout.session', 'status', p_status, 'customer', 'cus_acme', 'created', tests.stripe_now('-5 minutes'),
    'metadata', jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'checkout_id', (select id from made where k = p_key))) || p_more
$$;
create function pg_temp.state(p_key text) returns text language sql as $$
  select concat_ws(' ', status, stripe_session_id, opened_at - now(), expires_at - now(), completed_at - date_trunc('second', now()))
  from public.checkout_sessions where id = (select id from made where k = p_key)
$$;

select tests.act_as_user('bob');
select is(pg_temp.record('a'), 'PT403 permission_denied', 'another tenant''s owner says nothing');
select is(tests.error_of($$ select record_checkout_session(gen_random_uuid(), 'cs_1', now()) $$), 'PT403 permission_denied', 'nor of what is not there');
select tests.act_as_user('olga');
select is(pg_temp.record('a'), null, 'an owner does');
select tests.act_as_owner();
select is(pg_temp.state('a'), 'open cs_1 00:00:00 1 day', 'which session it led to, and until when');
select is(pg_temp.record('a', 'cs_2'), null, 'another');
select is(pg_temp.state('a'), 'open cs_1 00:00:00 1 day', 'changes nothing');
select is(tests.error_of($$ select record_checkout_session(gen_random_uuid(), 'cs_9', now()) $$), 'PT404 checkout_not_found', 'a checkout exists');
select is(pg_temp.record('b', 'cs_1'), '23505', 'a session is one checkout''s');
select is(pg_temp.state('b'), 'clicked', 'the others are clicks');

-- How it ends.
select is(tests.ingest('e1', 'checkout.session.completed', pg_temp.session('cs_1', 'a', 'complete', jsonb_build_object('metadata', jsonb_build_object('tenant_id', tests.tenant_id('acme')))), '1 hour'), 'processed', 'it is completed');
select is(pg_temp.state('a'), 'completed cs_1 00:00:00 1 day 01:00:00', 'the session tells which');
select is(pg_temp.state('c'), 'clicked', 'of all');
select is((select stripe_customer_id from public.tenants where id = tests.tenant_id('acme')), 'cus_acme', 'its customer is the tenant''s');
select is((select tenant_id from public.stripe_events where id = 'e1'), tests.tenant_id('acme'), 'and the event as well');
select is((select plan_id from public.tenants where id = tests.tenant_id('acme')), 'free', 'it gives no plan: the subscription does');
select is(tests.ingest('e2', 'checkout.session.expired', pg_temp.session('cs_b', 'b', 'expired'), '1 hour'), 'processed', 'another expires');
select is(pg_temp.state('b'), format('expired cs_b %s', date_trunc('second', now()) - interval '5 minutes' - now()), 'before anybody said that it had a session');
select is(pg_temp.record('b', 'cs_b'), null, 'who says so then');
select is(pg_temp.state('b'), format('expired cs_b %s', date_trunc('second', now()) - interval '5 minutes' - now()), 'opens it no more');
select tests.ingest('e3', 'checkout.session.completed', pg_temp.session('cs_c', 'c', 'complete'), '2 hours');
select is(pg_temp.state('c'), format('completed cs_c %s 02:00:00', date_trunc('second', now()) - interval '5 minutes' - now()), 'the click that its metadata name is completed');
select tests.ingest('e4', 'checkout.session.expired', pg_temp.session('cs_c', 'c', 'expired'), '1 hour');
select is(pg_temp.state('c') ~ '^completed', true, 'and does not expire');
select is(
  tests.ingest('e5', 'checkout.session.completed', pg_temp.session('cs_d', 'd', 'complete', jsonb_build_object(
    'customer', 'cus_globex', 'metadata', jsonb_build_object('tenant_id', tests.tenant_id('globex'), 'checkout_id', (select id from made where k = 'd'))
  ))), 'processed', 'one of another tenant'
);
select is(pg_temp.state('d'), 'clicked', 'completes no checkout of this one');
select is((select stripe_customer_id from public.tenants where id = tests.tenant_id('globex')), 'cus_globex', 'but has its customer');
select is(
  tests.ingest('e6', 'checkout.session.completed', jsonb_build_object(
    'id', 'cs_x', 'object', 'checkout.session', 'status', 'complete', 'customer', 'cus_x', 'client_reference_id', tests.tenant_id('acme'))),
  'failed tenant_unknown', 'one of nobody fails: a reference comes from whoever pays'
);
select throws_ok($$ update public.checkout_sessions set status = 'completed', completed_at = null $$, '23514', null, 'what is completed has a time');
select throws_ok($$ update public.checkout_sessions set status = 'open', completed_at = now() $$, '23514', null, 'and nothing else');

select * from finish();
rollback;
