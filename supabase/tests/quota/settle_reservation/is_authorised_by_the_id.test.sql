begin;
select plan(5);

select tests.create_user('ann');
select tests.create_user('bob');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('rival', 'bob', 'owner');
select tests.act_as_user('ann');
create temp table held as
select i as place, r.reservation_id as id from generate_series(1, 3) i, reserve_quota(tests.tenant_id('acme'), 'tokens', 100 * i) r;
grant select on held to anon;

select tests.act_as_anon();
select is(
  (select s.used from held cross join lateral settle_reservation(id, 1) s where place = 1), 501::bigint,
  'a stream settles after its token ran out'
);
select is(
  (select s.used from held cross join lateral release_reservation(id) s where place = 2), 301::bigint, 'or releases'
);
select throws_ok('select from private.quota_reservations', '42501', null, 'but nobody finds an id');
select tests.act_as_user('ann');
select throws_ok('select from private.quota_reservations', '42501', null, 'not even who made it');

select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('ann');
select is(
  (select s.used from held cross join lateral settle_reservation(id, 2) s where place = 3), 3::bigint,
  'what began before a suspension is settled'
);

select * from finish();
rollback;
