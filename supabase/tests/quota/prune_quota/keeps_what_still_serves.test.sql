begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create temp table age as
select * from (values ('old', interval '1 second'), ('recent', interval '-1 second')) as a (name, over);

insert into private.quota_grants (tenant_id, idempotency_key, metric, amount, subject, answer, created_at)
select tests.tenant_id('acme'), name, 'tokens', 1, '', row(true, 'tokens', 'day', 1, 1, 0, null, null, null, null)::public.reservation_answer,
  now() - interval '48 hours' - over
from age;
insert into private.quota_reservations
  (tenant_id, metric, subject, amount, holds, ttl, status, expires_at, created_at, closed_at)
select tests.tenant_id('acme'), 'tokens', name, 1, '{}', '5 minutes', status, now() - interval '50 days', now() - interval '60 days',
  case when status <> 'open' then now() - interval '48 hours' - over end
from age, unnest(array['open', 'settled', 'released', 'expired']) status;
insert into public.quota_decisions
  (tenant_id, metric, period, subject, amount, allowed, used, window_start, windows, plan_id, created_at)
select tests.tenant_id('acme'), 'tokens', 'day', name, 1, false, 1, now(), '[]', 'trial',
  date_trunc('day', now() - interval '30 days', 'UTC') - over
from age;
-- Denials as old as the old one: one that is counted, and one whose batch waits.
insert into private.usage_batches (tenant_id, first_ts, last_ts, events)
values (tests.tenant_id('acme'), now() - interval '40 days', now() - interval '40 days', 0);
insert into public.quota_decisions
  (tenant_id, metric, period, subject, amount, allowed, used, window_start, windows, plan_id, created_at, batch_id)
select tests.tenant_id('acme'), 'tokens', 'day', name, 1, false, 1, now(), '[]', 'trial', now() - interval '40 days', id
from (select 'counted', 0 union all select 'waiting', batch_id from private.usage_batches) as d (name, id);

select private.prune_quota();
select set_eq('select idempotency_key from private.quota_grants', array['recent'], 'keys are kept for 48 hours');
select set_eq(
  'select subject, status from private.quota_reservations',
  $$ values ('old', 'open'), ('recent', 'open'), ('recent', 'settled'), ('recent', 'released'), ('recent', 'expired') $$,
  'closed reservations for 48 hours, open ones until they are closed'
);
select set_eq(
  'select subject from public.quota_decisions', array['recent', 'waiting'],
  'receipts for 30 days, and the rest of the first, or until they are counted'
);
select aggregate_usage_metrics();
select is(
  (select sum(quota_exceeded_count) from public.tenant_usage_metrics where period_type = 'daily'), 1::numeric,
  'which then is done'
);
select private.prune_quota();
select set_eq('select subject from public.quota_decisions', array['recent'], 'and they go');
select tests.act_as_service_role();
select throws_ok('select private.prune_quota()', '42501', null, 'no API role prunes');

select * from finish();
rollback;
