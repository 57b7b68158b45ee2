begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select tests.set_clock('acme');
create temp table held as
select reservation_id as id from reserve_quota(tests.tenant_id('acme'), 'tokens', 10, ttl_seconds => 60);
update private.quota_reservations set expires_at = tests.noon() + interval '1 second';

select extend_reservation(id, 1) from held;
select is((select expires_at - tests.noon() from private.quota_reservations), interval '1 minute', 'by as much as it was made for');
select tests.set_clock('acme', '1 hour');
select is(
  (select (e.allowed, e.used)::text from held cross join lateral extend_reservation(id, 1) e), '(t,12)',
  'even when that was over, until it is swept'
);
select is((select expires_at - tests.noon() from private.quota_reservations), interval '1 hour 1 minute', 'from then on, in the tenant''s time');
select private.expire_reservations();
select is((select status from private.quota_reservations), 'open', 'so that the sweep passes it over');

select * from finish();
rollback;
