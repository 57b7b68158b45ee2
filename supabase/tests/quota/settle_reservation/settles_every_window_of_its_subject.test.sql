begin;
select plan(2);

select tests.create_user('ann');
select tests.create_tenant('acme', 'startup');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');
create temp table held as select * from reserve_quota(tests.tenant_id('acme'), 'analysis_runs', 10);
grant select on held to anon;
select tests.act_as_service_role();
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 2, 'robot');

select tests.act_as_anon();
select is(
  (select s.used from held cross join lateral settle_reservation(held.reservation_id, 3) s), 3::bigint,
  'the answer is the subject''s, whoever settles'
);
select tests.act_as_owner();
select set_eq(
  'select subject, period::text, used from tests.quota_counters',
  $$ values (tests.user_id('ann')::text, 'day', 3::bigint), (tests.user_id('ann')::text, 'month', 3),
       ('robot', 'day', 2), ('robot', 'month', 2) $$,
  'its windows are settled, and no others'
);

select * from finish();
rollback;
