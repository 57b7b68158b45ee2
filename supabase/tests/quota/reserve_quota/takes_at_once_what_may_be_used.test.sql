begin;
select plan(6);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');

create temp table held as select * from reserve_quota(tests.tenant_id('acme'), 'tokens', 9000);
select is(
  (select (allowed, period, limit_value, used, remaining, reason, reservation_id is not null)::text from held),
  '(t,day,10000,9000,1000,,t)', 'what is held is used'
);
select is(
  (select (allowed, used, remaining)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 1001)), '(f,9000,1000)',
  'for everyone'
);
select is(
  (select (allowed, used, reason, decision_id is not null, reservation_id)::text
   from reserve_quota(tests.tenant_id('acme'), 'tokens', 1001)),
  '(f,9000,quota_exceeded,t,)', 'a denial holds nothing, and has a receipt'
);
select tests.act_as_owner();
select is(
  (select (tenant_id, metric, subject, amount, status, expires_at)::text from private.quota_reservations),
  (select (tests.tenant_id('acme'), 'tokens', tests.user_id('ann'), 9000, 'open', now() + interval '5 minutes')::text),
  'it is held for five minutes'
);
select is((select reservation_id from held), (select id from private.quota_reservations), 'under the id in the answer');

update public.tenants set clock_offset = '1 hour' where id = tests.tenant_id('acme');
select reserve_quota(tests.tenant_id('acme'), 'tokens', 1, ttl_seconds => 60);
select is(
  (select expires_at from private.quota_reservations where amount = 1), now() + interval '1 hour 1 minute',
  'of the tenant''s time'
);

select * from finish();
rollback;
