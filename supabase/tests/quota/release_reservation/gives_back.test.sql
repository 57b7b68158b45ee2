begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
select consume_quota(tests.tenant_id('acme'), 'tokens', 7);
create temp table held as select reservation_id as id from reserve_quota(tests.tenant_id('acme'), 'tokens', 1000);

select is(
  (select (r.allowed, r.used, r.remaining, r.reservation_id = held.id)::text
   from held cross join lateral release_reservation(id) r),
  '(t,7,9993,t)', 'all that was held'
);
select is((select status from private.quota_reservations), 'released', 'and closes it');
select is(
  tests.error_of(format('select release_reservation(%L)', (select id from held))), 'PT409 reservation_released', 'once'
);
select is((select used from private.quota_counters), 7::bigint, 'so that nothing is given back twice');
select is(
  tests.error_of('select release_reservation(gen_random_uuid())'), 'PT404 reservation_not_found', 'an unknown one is not found'
);
select throws_ok(
  $$ insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
     values (tests.tenant_id('acme'), 'seats', 'none', '', '-infinity', -1) $$,
  '23514', null, 'no counter is ever below zero'
);

select * from finish();
rollback;
