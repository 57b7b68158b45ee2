begin;
select plan(7);

select tests.create_tenant('acme', 'startup');
select tests.set_clock('acme');
create temp table held as
select i as place, r.reservation_id as id
from generate_series(1, 3) i, reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 5 + i - i, 'u1') r;
create temp view counters as select period::text, used from private.quota_counters order by private.quota_counters.period;

select tests.set_clock('acme', '1 day');
select extend_reservation(id, 3) from held;
select results_eq('select * from counters', $$ values ('day', 9::bigint), ('month', 24) $$, 'only what is new is taken from a new day');
select is(
  (select string_agg(distinct h.period || ' ' || h.amount, ', ') from private.quota_reservations r cross join lateral unnest(r.holds) h),
  'day 3, month 8', 'and held in it'
);
select results_eq(
  'select distinct amount, spent from private.quota_reservations', $$ values (8::bigint, 5::bigint) $$, 'beside what was spent before'
);

select settle_reservation(id, 6) from held where place = 1;
select results_eq(
  'select * from counters', $$ values ('day', 7::bigint), ('month', 22) $$, 'settling gives back to the new day'
);
select settle_reservation(id, 1) from held where place = 2;
select results_eq(
  'select * from counters', $$ values ('day', 4::bigint), ('month', 15) $$, 'not more than it holds of it'
);
select tests.set_clock('acme', '1 day 1 hour');
select private.expire_reservations();
select results_eq('select * from counters', $$ values ('day', 1::bigint), ('month', 12) $$, 'expiry gives back the extension');

-- A plan that changed meanwhile brings a window that the first amount was not taken from.
delete from private.quota_counters;
create temp table late as select reservation_id as id from reserve_quota(tests.tenant_id('acme'), 'tokens', 5);
insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (tests.tenant_id('acme'), 'tokens', 'month', 100);
select extend_reservation(id, 3) from late;
select release_reservation(id) from late;
select results_eq('select * from counters', $$ values ('month', 0::bigint) $$, 'a window that is new holds only what was taken from it');

select * from finish();
rollback;
