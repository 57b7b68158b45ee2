begin;
select plan(6);

select tests.create_tenant('acme', 'startup');
select tests.set_clock('acme');
create temp table held (name text, id uuid);
insert into held select 'old', reservation_id from reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 6, 'u1');
select tests.set_clock('acme', '1 day');
insert into held
select name, r.reservation_id
from (values ('live', 3, 'u1'), ('extended', 2, 'u1'), ('settled', 5, 'u1'), ('other', 9, 'u2')) h (name, amount, subject)
cross join lateral reserve_quota(tests.tenant_id('acme'), 'analysis_runs', h.amount, h.subject) r;
select extend_reservation(id, 2) from held where name = 'extended';
select settle_reservation(id, 5) from held where name = 'settled';
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 2, 'u1');
create temp view counters as select period::text, subject, used, allowed from private.quota_counters;
select set_eq(
  'select period, subject, used from counters',
  $$ values ('day', 'u1', 14::bigint), ('month', 'u1', 20), ('day', 'u2', 9), ('month', 'u2', 9) $$, 'what is used'
);

select is(reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs'), 4, 'tells how many counters there are');
select set_eq(
  'select period, subject, used from counters',
  $$ values ('day', 'u1', 7::bigint), ('month', 'u1', 13), ('day', 'u2', 9), ('month', 'u2', 9) $$,
  'is set back to what is under way, in each window'
);
select set_eq(
  $$ select allowed from counters where subject = 'u1' $$, $$ values (6::bigint), (0) $$, 'the count of grants goes on'
);
select settle_reservation(id, 1) from held where name = 'live';
select release_reservation(id) from held where name in ('extended', 'old', 'other');
select set_eq(
  'select period, subject, used from counters',
  $$ values ('day', 'u1', 1::bigint), ('month', 'u1', 1), ('day', 'u2', 0), ('month', 'u2', 0) $$, 'which then settles as ever'
);

-- What is held is at most what is used: a counter is never raised.
update private.quota_counters set used = 0;
select reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 9, 'u2');
update private.quota_counters set used = 4;
select reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs');
select set_eq(
  $$ select used from counters where subject = 'u2' $$, $$ values (4::bigint) $$, 'nor does it raise a counter'
);

select * from finish();
rollback;
