begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create temp table held as select reservation_id as id from reserve_quota(tests.tenant_id('acme'), 'tokens', 9000);
update private.quota_reservations set expires_at = now() + interval '1 second';

select is(
  (select (e.allowed, e.used, e.remaining, e.reason, e.decision_id is not null, e.reservation_id = id)::text
   from held cross join lateral extend_reservation(id, 1001) e),
  '(f,9000,1000,quota_exceeded,t,t)', 'a denial is an answer, with its receipt'
);
select results_eq(
  'select amount, spent, status, expires_at, (holds[1]).amount from private.quota_reservations',
  $$ values (9000::bigint, 9000::bigint, 'open', now() + interval '5 minutes', 9000::bigint) $$,
  'what it held is spent, and has its time again'
);
select is((select used from private.quota_counters), 9000::bigint, 'nothing more is taken');
select is(
  (select (e.allowed, e.used)::text from held cross join lateral extend_reservation(id, 1000) e), '(t,10000)',
  'an amount that fits still does'
);
select results_eq('select amount, spent from private.quota_reservations', $$ values (10000::bigint, 9000::bigint) $$, 'and is held');
select results_eq(
  'select allowed, denied from get_quota_checks(tests.tenant_id(''acme''))', $$ values (2::bigint, 1::bigint) $$,
  'a denied extension is counted as a denial'
);

select * from finish();
rollback;
