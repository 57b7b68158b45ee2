begin;
select plan(15);

select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select tests.sell_prices();
update public.stripe_events set next_attempt_at = null;
create function pg_temp.replay(p_id text) returns text language sql as $$
  select concat_ws(' ', event_id, status, tenant_id = tests.tenant_id('acme'), plan_id, previous_plan_id, is_upgrade, error) from replay_stripe_event(p_id)
$$;

select tests.act_as_user('root');
select is(pg_temp.replay('a'), 'a processed t startup free t', 'what an operator replays is applied');
select tests.act_as_owner();
select is((select (status, attempts, last_error, duplicates)::text from public.stripe_events where id = 'a'), '(processed,2,,0)', 'as if it had come again');
select is(pg_temp.replay('a'), 'a processed t f', 'once more changes nothing');
select is((select (plan_id, previous_plan_id)::text from public.stripe_events where id = 'a'), '(startup,free)', 'nor what the inbox says of it');

select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', 'pro_monthly'), '1 minute');
-- Somebody broke what is mirrored.
update public.subscriptions set status = 'unpaid', price_id = 'startup_monthly', entitled_until = '-infinity';
update public.tenants set plan_id = 'free';
select is(pg_temp.replay('a'), 'a stale t pro free t', 'of one that a later one follows that is applied');
select is((select (status, price_id, is_in_force)::text from public.subscriptions), '(active,pro_monthly,t)', 'which heals what was broken');
select is((select status::text from public.stripe_events where id = 'b'), 'processed', 'the later one stays');
select set_eq(
  'select id, plan_id, previous_plan_id from public.stripe_events', $$ values ('a', 'startup', 'free'), ('b', 'pro', 'free') $$,
  'and the inbox says which of them moved the tenant'
);

select tests.ingest('c', 'charge.refunded', '{"id": "ch_1"}');
select is(pg_temp.replay('c'), 'c ignored f', 'what is ignored stays so');
select tests.ingest('d', 'customer.subscription.updated', tests.stripe_subscription('acme', 'gone'), '2 minutes');
select is(pg_temp.replay('d'), 'd failed f price_unknown: No price is sold by price_gone.', 'what cannot be applied fails again');
select is(pg_temp.replay('a'), 'a failed f price_unknown: No price is sold by price_gone.', 'and so does what it follows');
select is((select tenant_id from public.stripe_events where id = 'a'), tests.tenant_id('acme'), 'whose tenant is known all the same');
select is(tests.error_of($$ select replay_stripe_event('x') $$), 'PT404 event_not_found', 'an event exists');
select is((select count from get_webhook_counts() where type = 'customer.subscription.created' and outcome = 'processed'), 2::bigint, 'each is counted as what became of it');
select is((select count from get_webhook_counts() where type = 'customer.subscription.created' and outcome = 'received'), 1::bigint, 'but not as received');

select * from finish();
rollback;
