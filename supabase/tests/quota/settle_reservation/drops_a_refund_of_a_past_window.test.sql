begin;
select plan(5);

select tests.create_tenant('acme', 'startup');
update public.tenants
set clock_offset = date_trunc('month', now(), 'UTC') + interval '1 month 9 days 12 hours' - now()
where id = tests.tenant_id('acme');
create temp table held as
select i as place, r.reservation_id as id
from generate_series(1, 3) i, reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 5 + i - i, 'u1') r;
create temp view counters as select period::text, used from private.quota_counters order by private.quota_counters.period;

update public.tenants set clock_offset = clock_offset + interval '1 day' where id = tests.tenant_id('acme');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1');
select results_eq('select * from counters', $$ values ('day', 3::bigint), ('month', 18) $$, 'the next day began');

select is(
  (select (s.period, s.used)::text from held cross join lateral settle_reservation(id, 1) s where place = 1), '(day,3)',
  'settling lower'
);
select results_eq(
  'select * from counters', $$ values ('day', 3::bigint), ('month', 14) $$, 'refunds the month, and nothing to the new day'
);
select settle_reservation(id, 7) from held where place = 2;
select results_eq(
  'select * from counters', $$ values ('day', 5::bigint), ('month', 16) $$, 'settling higher takes the rest from the new day'
);
select release_reservation(id) from held where place = 3;
select results_eq(
  'select * from counters', $$ values ('day', 5::bigint), ('month', 11) $$, 'releasing refunds the month alone'
);

select * from finish();
rollback;
