begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.set_clock('acme');
select reserve_quota(tests.tenant_id(name), 'tokens', 7, ttl_seconds => 60) from unnest(array['acme', 'rival']) name;

select private.expire_reservations();
select set_eq('select status from private.quota_reservations', array['open'], 'a reservation has its time');
select tests.set_clock('acme', '59 seconds');
select private.expire_reservations();
select set_eq('select status from private.quota_reservations', array['open'], 'all of it');
select tests.set_clock('acme', '60 seconds');
select private.expire_reservations();
select set_eq(
  'select tenant_id, status from private.quota_reservations',
  $$ values (tests.tenant_id('acme'), 'expired'), (tests.tenant_id('rival'), 'open') $$, 'in its tenant''s time'
);
select set_eq(
  'select tenant_id, used from private.quota_counters',
  $$ values (tests.tenant_id('acme'), 0::bigint), (tests.tenant_id('rival'), 7) $$, 'and the other''s is held'
);

select * from finish();
rollback;
