begin;
select plan(32);

select tests.create_tenant('acme', 'free');
select tests.sell_prices();
-- Each case is a subscription of its own, of which two or more things are told in one second. Their ids sort the other way.
create function pg_temp.sub(p_id text, p_more jsonb default '{}', p_status text default 'active', p_price_id text default 'startup_monthly')
returns jsonb language sql as $$
  select tests.stripe_subscription('acme', p_price_id, p_status, jsonb_build_object('id', p_id) || p_more)
$$;
create function pg_temp.leaves(p_id text) returns jsonb language sql as $$ select pg_temp.sub(p_id, '{"cancel_at_period_end": true}') $$;
create function pg_temp.is_leaving(p_id text) returns boolean language sql as $$
  select cancel_at_period_end from public.subscriptions where stripe_subscription_id = p_id
$$;

select is(
  tests.ingest('1b', 'customer.subscription.created', pg_temp.sub('one', p_status => 'incomplete')), 'processed', 'created'
);
select is(
  tests.ingest('1a', 'customer.subscription.updated', pg_temp.sub('one'), p_previous => '{"status": "incomplete"}'), 'processed',
  'and active in the same second: the later is what says what was before'
);
select is(
  tests.ingest('2a', 'customer.subscription.updated', pg_temp.sub('two'), p_previous => '{"status": "incomplete"}'), 'processed',
  'the other way round'
);
select is(
  tests.ingest('2b', 'customer.subscription.created', pg_temp.sub('two', p_status => 'incomplete')), 'stale', 'the creation is stale'
);
select set_eq(
  'select stripe_subscription_id, status from public.subscriptions', $$ values ('one', 'active'), ('two', 'active') $$,
  'both ways the subscription is active'
);

-- Two updates that say the same of each other both ways: what was before tells.
select tests.ingest('3c', 'customer.subscription.created', pg_temp.sub('three'), '-1 minute');
select is(
  tests.ingest('3b', 'customer.subscription.updated', pg_temp.leaves('three'), p_previous => '{"cancel_at_period_end": false}'),
  'processed', 'cancelled'
);
select is(
  tests.ingest('3a', 'customer.subscription.updated', pg_temp.sub('three'), p_previous => '{"cancel_at_period_end": true}'), 'processed',
  'and kept within a second, which was kept before'
);
select is(pg_temp.is_leaving('three'), false, 'so it stays');
select tests.ingest('4c', 'customer.subscription.created', pg_temp.leaves('four'), '-1 minute');
select is(
  tests.ingest('4a', 'customer.subscription.updated', pg_temp.leaves('four'), p_previous => '{"cancel_at_period_end": false}'), 'processed',
  'cancelled'
);
select is(
  tests.ingest('4b', 'customer.subscription.updated', pg_temp.sub('four'), p_previous => '{"cancel_at_period_end": true}'), 'stale',
  'and kept within a second, which was cancelled before'
);
select is(pg_temp.is_leaving('four'), true, 'so it leaves');

-- Three: A → B → A → B.
select tests.ingest('5d', 'customer.subscription.created', pg_temp.sub('five'), '-1 minute');
select tests.ingest(
  '5b', 'customer.subscription.updated', pg_temp.sub('five', '{"cancel_at_period_end": true, "metadata": {"n": 3}}'),
  p_previous => '{"cancel_at_period_end": false, "metadata": {"n": 2}}'
);
select tests.ingest(
  '5c', 'customer.subscription.updated', pg_temp.sub('five', '{"metadata": {"n": 2}}'),
  p_previous => '{"cancel_at_period_end": true, "metadata": {"n": 1}}'
);
select tests.ingest(
  '5a', 'customer.subscription.updated', pg_temp.sub('five', '{"cancel_at_period_end": true, "metadata": {"n": 1}}'),
  p_previous => jsonb_build_object('cancel_at_period_end', false, 'metadata', pg_temp.sub('five') -> 'metadata')
);
select results_eq(
  $$ select id, status::text from public.stripe_events where object_id = 'five' order by status, id $$,
  $$ values ('5b', 'processed'), ('5d', 'processed'), ('5a', 'stale'), ('5c', 'stale') $$, 'three of a second make one row'
);
select is(pg_temp.is_leaving('five'), true, 'the end of which counts');

-- A null that was there before is not what is there now.
select tests.ingest('6c', 'customer.subscription.created', pg_temp.sub('six'), '-1 minute');
select tests.ingest('6b', 'customer.subscription.updated', pg_temp.sub('six', '{"cancel_at": 4000000000}'), p_previous => '{"cancel_at": null}');
select is(
  tests.ingest('6a', 'customer.subscription.updated', pg_temp.sub('six'), p_previous => '{"cancel_at": 4000000000}'), 'processed',
  'a time to cancel at comes and goes'
);
select is((select cancel_at from public.subscriptions where stripe_subscription_id = 'six'), null, 'within a second');

select tests.ingest('H0', 'customer.subscription.created', pg_temp.sub('sixteen', '{"cancel_at": 4000000000}'), '-1 minute');
select tests.ingest('H2', 'customer.subscription.updated', pg_temp.sub('sixteen'), p_previous => '{"cancel_at": 4000000000}');
select is(
  tests.ingest('H1', 'customer.subscription.updated', pg_temp.sub('sixteen', '{"cancel_at": 4000000000}'), p_previous => '{"cancel_at": null}'), 'processed',
  'or goes and comes'
);
-- What ends its object is later than all else of its second.
select tests.ingest('I2', 'invoice.payment_failed', tests.stripe_invoice('acme', 'open', p_more => '{"id": "in_2"}'));
select is(
  tests.ingest('I1', 'invoice.updated', tests.stripe_invoice('acme', 'paid', p_more => '{"id": "in_2"}')), 'processed', 'an end is later than what its second tells besides'
);
select is((select status from public.invoices where stripe_invoice_id = 'in_2'), 'paid', 'so it counts');

-- Where no row can be made of them: one is not there yet.
select tests.ingest('7c', 'customer.subscription.created', pg_temp.sub('seven'), '-1 minute');
select tests.ingest('7b', 'customer.subscription.updated', pg_temp.sub('seven', p_price_id => 'pro_monthly'), p_previous => '{"metadata": {"n": 5}}');
select is(
  tests.ingest('7a', 'customer.subscription.updated',
    pg_temp.sub('seven', p_price_id => 'enterprise_monthly'), p_previous => jsonb_build_object('items', pg_temp.sub('seven', p_price_id => 'pro_monthly') -> 'items')),
  'processed', 'of two in a gap the one that follows the other is later'
);
select is(
  (select price_id from public.subscriptions where stripe_subscription_id = 'seven'), 'enterprise_monthly', 'and its price counts'
);
select tests.ingest('8b', 'customer.subscription.paused', pg_temp.sub('eight', p_status => 'paused'));
select is(
  tests.ingest('8a', 'customer.subscription.updated', pg_temp.sub('eight', p_status => 'paused', p_price_id => 'pro_monthly')), 'stale',
  'of two that say nothing of each other the kind of event tells'
);
select tests.ingest('9b', 'customer.subscription.updated', pg_temp.sub('nine'));
select is(
  tests.ingest('9a', 'customer.subscription.updated', pg_temp.sub('nine', p_status => 'past_due')), 'processed', 'then how far its status has come'
);
select tests.ingest('Ab', 'invoice.payment_failed', tests.stripe_invoice('acme', 'open', 1));
select is(tests.ingest('Aa', 'invoice.payment_failed', tests.stripe_invoice('acme', 'open', 2)), 'processed', 'then the attempts to pay');
select is((select attempt_count from public.invoices where stripe_invoice_id = 'in_acme'), 2, 'so the last attempt counts');
select tests.ingest('Bb', 'customer.subscription.updated', pg_temp.sub('eleven'));
select is(
  tests.ingest('Ba', 'customer.subscription.updated', jsonb_set(
    pg_temp.sub('eleven'), '{items,data,0,current_period_end}', to_jsonb(tests.stripe_now('60 days'))
  )), 'processed', 'then the end of the period, of an item'
);
select is(
  tests.ingest('Bc', 'customer.subscription.updated', pg_temp.sub('eleven', jsonb_build_object('current_period_end', tests.stripe_now('61 days')))),
  'processed', 'or of the subscription'
);
select tests.ingest('Ca', 'customer.subscription.updated', pg_temp.sub('twelve'));
select is(tests.ingest('Cb', 'customer.subscription.updated', pg_temp.sub('twelve')), 'processed', 'and at last the id');

-- The creation is the first of a row: created, cancelled and kept within a second.
select tests.ingest('E3', 'customer.subscription.created', pg_temp.sub('thirteen'));
select tests.ingest('E2', 'customer.subscription.updated', pg_temp.leaves('thirteen'), p_previous => '{"cancel_at_period_end": false}');
select is(
  tests.ingest('E1', 'customer.subscription.updated', pg_temp.sub('thirteen'), p_previous => '{"cancel_at_period_end": true}'), 'processed',
  'a row begins with the creation'
);
-- What an event does not say that it changed is as it was: twice something else, and then cancelled.
select tests.ingest('F0', 'customer.subscription.created', pg_temp.sub('fourteen', '{"metadata": {"n": 1}}'), '-1 minute');
select tests.ingest('F2', 'customer.subscription.updated', pg_temp.sub('fourteen', '{"metadata": {"n": 2}}'), p_previous => '{"metadata": {"n": 1}}');
select tests.ingest('F3', 'customer.subscription.updated', pg_temp.sub('fourteen', '{"metadata": {"n": 1}}'), p_previous => '{"metadata": {"n": 2}}');
select is(
  tests.ingest('F1', 'customer.subscription.updated', pg_temp.leaves('fourteen') || '{"metadata": {"n": 1}}', p_previous => '{"cancel_at_period_end": false}'),
  'processed', 'a row has no gap that its events say nothing of'
);
select is(pg_temp.is_leaving('fourteen'), true, 'so it leaves');
-- Two that follow each other both ways are as late as a third that nothing follows.
select tests.ingest('G1', 'customer.subscription.updated', pg_temp.leaves('fifteen') || '{"metadata": {"n": 2}}',
  p_previous => '{"cancel_at_period_end": false, "metadata": {"n": 1}}');
select tests.ingest('G2', 'customer.subscription.updated', pg_temp.sub('fifteen', '{"metadata": {"n": 1}}'),
  p_previous => '{"cancel_at_period_end": true, "metadata": {"n": 2}}');
select is(
  tests.ingest('G3', 'customer.subscription.updated', pg_temp.sub('fifteen', '{"metadata": {"n": 9}}', 'trialing'), p_previous => '{"metadata": {"n": 8}}'),
  'stale', 'of which the status tells'
);

-- More than seven make more rows than are tried.
select tests.ingest('D0', 'customer.subscription.created', pg_temp.sub('many'), '-1 minute');
select tests.ingest(
  'D' || n, 'customer.subscription.updated', pg_temp.sub('many', jsonb_build_object('cancel_at_period_end', n % 2 = 0)),
  p_previous => jsonb_build_object('cancel_at_period_end', n % 2 = 1)
) from generate_series(1, 9) n;
select is(
  (select count(*) from public.stripe_events where object_id = 'many' and status <> 'failed'), 10::bigint, 'ten are put in some order'
);

select * from finish();
rollback;
