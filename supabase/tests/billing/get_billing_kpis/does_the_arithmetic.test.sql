begin;
select plan(5);

select tests.create_tenant('acme', 'free');
create function pg_temp.kpis(p_from timestamptz default '-infinity', p_to timestamptz default 'infinity') returns setof jsonb language sql as $$
  select to_jsonb(k) from get_billing_kpis(p_from, p_to) k
$$;
select is(
  pg_temp.kpis(),
  '{"webhooks_received": 0, "webhooks_failed": 0, "webhook_success_rate": null, "checkout_clicks": 0, "checkout_sessions": 0,
    "checkouts_completed": 0, "checkout_conversion": null, "upgrades": 0, "upgrade_latency_p50_seconds": null,
    "upgrade_latency_p95_seconds": null, "upgrade_latency_p99_seconds": null}', 'of nothing nothing is known'
);

insert into public.stripe_events (id, type, is_final, occurred_at, payload, status, plan_id, previous_plan_id, duplicates, last_error, received_at, applied_at)
select id, 'x', false, received_at - interval '1 second', '{}', status::public.stripe_event_status, plan_id, previous_plan_id, duplicates,
  case status when 'failed' then 'x' end, received_at, received_at + after
from (values
  ('a', 'processed', 'startup', 'free', 0, timestamptz '2030-01-01 00:00Z', interval '0'),
  ('b', 'processed', 'pro', 'startup', 2, '2030-01-01 01:00Z', '1 second'),
  ('c', 'stale', 'enterprise', 'pro', 0, '2030-01-01 02:00Z', '2 seconds'),
  ('d', 'processed', 'unlimited', 'free', 0, '2030-01-01 23:59:59Z', '9 seconds'),
  ('e', 'processed', 'free', 'enterprise', 0, '2030-01-01 03:00Z', '1 hour'),
  ('f', 'failed', null, null, 1, '2030-01-01 04:00Z', null),
  ('g', 'ignored', null, null, 0, '2030-01-01 05:00Z', null),
  ('h', 'processed', 'startup', 'free', 0, '2030-01-02 00:00Z', '1 day'),
  ('i', 'failed', null, null, 0, '2029-12-31 23:59:59Z', null)
) as e (id, status, plan_id, previous_plan_id, duplicates, received_at, after);
insert into public.checkout_sessions (tenant_id, price_id, clicked_at, opened_at, completed_at, status)
select tests.tenant_id('acme'), 'startup_monthly', clicked_at, opened_at, completed_at,
  case when completed_at is not null then 'completed' when opened_at is not null then 'open' else 'clicked' end::public.checkout_status
from (values
  (timestamptz '2030-01-01 00:00Z', timestamptz '2030-01-01 00:00Z', timestamptz '2030-01-03 00:00Z'),
  ('2030-01-01 10:00Z', '2030-01-01 10:00Z', null), ('2030-01-01 23:59:59Z', null, null),
  ('2030-01-02 00:00Z', '2030-01-02 00:00Z', '2030-01-02 00:01Z'), ('2029-12-31 23:59:59Z', null, null)
) as c (clicked_at, opened_at, completed_at);

select is(
  pg_temp.kpis('2030-01-01Z', '2030-01-02Z'),
  '{"webhooks_received": 10, "webhooks_failed": 1, "webhook_success_rate": 0.9, "checkout_clicks": 3, "checkout_sessions": 2,
    "checkouts_completed": 1, "checkout_conversion": 0.3333, "upgrades": 4, "upgrade_latency_p50_seconds": 2.5,
    "upgrade_latency_p95_seconds": 8.95, "upgrade_latency_p99_seconds": 9.79}',
  'a day is counted from its first moment up to the next day: webhooks with those that came again, and those that failed of them; clicks, sessions and completions; upgrades alone, with their latency'
);
select is(
  pg_temp.kpis('2030-01-02Z', '2030-01-03Z') ->> 'upgrade_latency_p50_seconds', '86401.000', 'the next day has its own'
);
select is(pg_temp.kpis('2030-01-03Z', '2030-01-01Z') ->> 'webhooks_received', '0', 'a range that ends before it begins has none');

-- From what comes, too.
select tests.sell_prices();
select tests.ingest('live', 'customer.subscription.created', tests.stripe_subscription('acme'), '-30 seconds');
select is(
  (select (upgrades, upgrade_latency_p50_seconds between 30 and 90)::text from get_billing_kpis(now() - interval '1 minute', now() + interval '1 minute')), '(1,t)',
  'an upgrade takes from Stripe''s time of it to when it is in force'
);

select * from finish();
rollback;
