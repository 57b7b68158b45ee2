begin;
select plan(17);

select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select is_empty('select from get_webhook_counts()', 'at first nothing has come');

select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme')); -- fails
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme')) from generate_series(1, 2);
select tests.ingest('b', 'customer.subscription.created', tests.stripe_subscription('acme'), '-1 hour');
select tests.ingest('c', 'charge.refunded', '{"id": "ch_1"}');
select count_webhook_rejection(r) from unnest(array['signature_invalid', 'signature_invalid', 'signature_missing']) r;
select is(
  tests.error_of(format('select count_webhook_rejection(%L)', r)), 'PT400 invalid_reason', format('%s is no reason', coalesce(r, 'null'))
) from unnest(array[null, '', 'Signature', 'a b', repeat('x', 64)]) r;
select is(tests.error_of(format('select count_webhook_rejection(%L)', repeat('x', 63))), null, 'a word is one');

select results_eq(
  'select * from get_webhook_counts()',
  $$ values
       ('charge.refunded', 'ignored', 1::bigint), ('charge.refunded', 'received', 1),
       ('customer.subscription.created', 'duplicate', 2), ('customer.subscription.created', 'failed', 1),
       ('customer.subscription.created', 'processed', 1), ('customer.subscription.created', 'received', 5),
       ('customer.subscription.created', 'stale', 1),
       ('unknown', 'signature_invalid', 2), ('unknown', 'signature_missing', 1), ('unknown', repeat('x', 63), 1) $$,
  'each is counted once as received, and as what became of it'
);
select lives_ok(
  $$ insert into private.stripe_event_counts select type, outcome, shard + 64, count from private.stripe_event_counts $$, 'of all shards'
);
select results_eq(
  $$ select * from get_webhook_counts() where type = 'charge.refunded' $$,
  $$ values ('charge.refunded', 'ignored', 2::bigint), ('charge.refunded', 'received', 2) $$, 'the sum'
);
delete from public.stripe_events;
select is((select count(*) from get_webhook_counts()), 10::bigint, 'it outlives the events');

select tests.act_as_user('root');
select is(tests.error_of('select get_webhook_counts()'), null, 'a platform admin reads it');
select is(tests.error_of($$ select count_webhook_rejection('a') $$), '42501', 'but counts nothing');
select tests.act_as_service_role();
select is(tests.error_of('select get_webhook_counts()'), null, 'as does the service role');
select is(tests.error_of($$ select count_webhook_rejection('a') $$), null, 'which counts');
select tests.act_as_user('olga');
select is(tests.error_of('select get_webhook_counts()'), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_anon();
select is(tests.error_of('select get_webhook_counts()'), '42501', 'nor anon');

select * from finish();
rollback;
