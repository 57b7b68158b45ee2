begin;
select plan(1);

select tests.create_tenant('acme', 'startup');
select tests.set_clock('acme', '11 hours 59 minutes');
select reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 5, 'u1', 30);
select tests.set_clock('acme', '12 hours 1 minute');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1');

select private.expire_reservations();
select results_eq(
  'select period::text, used from private.quota_counters c order by c.period', $$ values ('day', 3::bigint), ('month', 3) $$,
  'the month has it back, the new day does not'
);

select * from finish();
rollback;
