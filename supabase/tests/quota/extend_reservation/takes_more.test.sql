begin;
select plan(8);

select tests.create_tenant('acme', 'startup');
create temp table held as select reservation_id as id from reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 5, 'u1');
create temp view reservation as
select amount, spent, status,
  (select string_agg(h.period || ' ' || h.subject || ' ' || h.amount, ', ' order by h.period) from unnest(holds) h) as holds
from private.quota_reservations;
prepare extend(bigint) as
select allowed, metric, period::text, limit_value, used, remaining, reason, decision_id, reservation_id = (select id from held)
from extend_reservation((select id from held), $1);

select results_eq(
  'execute extend(4)', $$ values (true, 'analysis_runs', 'day', 20::bigint, 9::bigint, 11::bigint, null, null::uuid, true) $$,
  'for the subject that it was made for'
);
select results_eq('table reservation', $$ values (9::bigint, 5::bigint, 'open', 'day u1 9, month u1 9') $$, 'what it held is spent');
select results_eq('execute extend(3)', $$ values (true, 'analysis_runs', 'day', 20::bigint, 12::bigint, 8::bigint, null, null::uuid, true) $$, 'again');
select results_eq('table reservation', $$ values (12::bigint, 9::bigint, 'open', 'day u1 12, month u1 12') $$, 'all but the last');
select results_eq(
  'select period::text, subject, used, allowed from private.quota_counters c order by c.period',
  $$ values ('day', 'u1', 12::bigint, 3::bigint), ('month', 'u1', 12, 0) $$, 'each extension is a grant, of every window'
);
select is((select s.used from held cross join lateral settle_reservation(id, 10) s), 10::bigint, 'settling ends all of it');
select results_eq(
  'select used from private.quota_counters c order by c.period', $$ values (10::bigint), (10) $$, 'and gives back the rest'
);

-- Where nothing limits, there is nothing to hold.
select is(
  (select (e.allowed, e.metric, e.used, s.allowed)::text
   from reserve_quota(tests.tenant_id('acme'), 'executions', 5) r
   cross join lateral extend_reservation(r.reservation_id, 5) e
   cross join lateral settle_reservation(e.reservation_id, 7) s),
  '(t,executions,,t)', 'without a limit it is extended as well'
);

select * from finish();
rollback;
