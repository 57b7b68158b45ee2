begin;
select plan(12);

select tests.create_tenant('acme', 'trial');
create temp table held as
select r.reservation_id as id from generate_series(1, 2) i, reserve_quota(tests.tenant_id('acme'), 'tokens', 100 * i) r;
create function pg_temp.fault(p_call text) returns text language sql as $$
  select tests.error_of(format(p_call, (select min(id::text) from held)))
$$;

select is(pg_temp.fault($$ select settle_reservation(%L, 10) $$), null, 'a reservation is settled');
create temp table used_then as select used from private.quota_counters;
select is(pg_temp.fault($$ select settle_reservation(%L, 10) $$), 'PT409 reservation_settled', 'not twice');
select is(pg_temp.fault($$ select settle_reservation(%L, 0) $$), 'PT409 reservation_settled', 'nor with another amount');
select is(pg_temp.fault($$ select release_reservation(%L) $$), 'PT409 reservation_settled', 'nor released after');
select results_eq('select used from private.quota_counters', 'select used from used_then', 'which changes no counter');

select release_reservation((select max(id::text)::uuid from held));
select is(
  tests.error_of(format('select settle_reservation(%L, 10)', (select max(id::text) from held))), 'PT409 reservation_released',
  'a released one is not settled'
);
select is((select used from private.quota_counters), 10::bigint, 'what is left is what was used');

select is(
  tests.error_of('select settle_reservation(gen_random_uuid(), 1)'), 'PT404 reservation_not_found', 'an unknown one is not found'
);
select is(tests.error_of('select settle_reservation(null, 1)'), 'PT404 reservation_not_found', 'nor none');
select is(tests.error_of('select settle_reservation(gen_random_uuid(), -1)'), 'PT400 invalid_amount', 'less than nothing');
select is(tests.error_of('select settle_reservation(gen_random_uuid(), null)'), 'PT400 invalid_amount', 'an unknown amount');
select is(
  tests.error_of('select settle_reservation(gen_random_uuid(), 9007199254740992)'), 'PT400 invalid_amount',
  'or more than JSON holds exactly is none to settle with'
);

select * from finish();
rollback;
