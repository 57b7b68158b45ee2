begin;
select plan(5);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
select tests.set_clock('acme');
select is(
  private.booking_time(tests.tenant_id('acme')) - tests.noon() between '0' and '5 minutes', true, 'an entry has the time of the tenant''s clock'
);
create temp table booked as select private.booking_time(tests.tenant_id('acme')) as first;
select cmp_ok(private.booking_time(tests.tenant_id('acme')), '>', (select first from booked), 'as it passes');
insert into public.credit_ledger (tenant_id, kind, amount, balance, grants, reason, effective_at)
select tests.tenant_id('acme'), 'grant', 1, 1, '{}', 'a', tests.noon() + a * interval '1 hour' from unnest(array[1, 3, 2]) a;
select is(
  private.booking_time(tests.tenant_id('acme')), tests.noon() + interval '3 hours', 'but not before an entry that is there already'
);
select tests.set_clock('acme', '4 hours');
select cmp_ok(private.booking_time(tests.tenant_id('acme')), '>=', tests.noon() + interval '4 hours', 'until it has passed it');
select cmp_ok(
  private.booking_time(tests.tenant_id('rival')), '<', now() + interval '1 hour', 'nobody else''s entries matter'
);

select * from finish();
rollback;
