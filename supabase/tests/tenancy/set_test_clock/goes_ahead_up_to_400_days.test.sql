begin;
select plan(20);

select tests.create_tenant('acme', 'trial');
create function pg_temp.set(p_offset text) returns text language sql as $$
  select tests.error_of(format('select set_test_clock(tests.tenant_id(''acme''), %L)', p_offset))
$$;
create function pg_temp.ahead() returns text language sql as $$
  select extract(epoch from private.tenant_now(tests.tenant_id('acme')) - now())::int::text
$$;

select is(
  (select (clock_offset = '2 days 3 hours', id = tests.tenant_id('acme'))::text from set_test_clock(tests.tenant_id('acme'), '2 days 3 hours')),
  '(t,t)', 'the clock is set, and the tenant returned'
);
select is(pg_temp.ahead(), (51 * 3600)::text, 'its time is ahead by so much');
select is(pg_temp.set('2 days 3 hours'), null, 'again, nothing changes');
select is(pg_temp.ahead(), (51 * 3600)::text, 'the offset is from the real time, not added');
select is(pg_temp.set('2 days 2:59:59'), 'PT400 invalid_clock_offset', 'it never goes back');
select is(pg_temp.set('0'), 'PT400 invalid_clock_offset', 'to the real time either');
select is(pg_temp.set('-1 day'), 'PT400 invalid_clock_offset', 'nor behind it');
select is(pg_temp.set(null), 'PT400 invalid_clock_offset', 'an offset is needed');
select is(pg_temp.set('400 days 0:00:01'), 'PT400 invalid_clock_offset', 'it goes no further than 400 days');
select is(pg_temp.set('100000000 years'), 'PT400 invalid_clock_offset', 'let alone out of time');
select is(pg_temp.ahead(), (51 * 3600)::text, 'none of which moved it');

-- A month has more days in some months than in others.
select is(pg_temp.set('1 month'), null, 'it can be set a month ahead');
select is(
  pg_temp.ahead(), extract(epoch from (now() at time zone 'UTC') + interval '1 month' - (now() at time zone 'UTC'))::int::text,
  'which is one from now'
);
select is(pg_temp.set('6 months'), null, 'or several');
select is(pg_temp.set('180 days 23 hours'), 'PT400 invalid_clock_offset', 'and is not back when the months had more days');
select is(pg_temp.set('13 months 10 days'), 'PT400 invalid_clock_offset', 'nor further than 400 days');
select is(pg_temp.set('400 days'), null, '400 days ahead is as far as it goes');
set local timezone = 'America/New_York';
select is(pg_temp.ahead(), (400 * 86400)::text, 'the same for every session''s time zone');
select results_eq(
  $$ select tests.error_of($q$ select set_test_clock(gen_random_uuid(), '1 day') $q$) $$, $$ values ('PT404 tenant_not_found') $$,
  'of a tenant that exists'
);
select is(
  (select count(*) from public.audit_events where event_type = 'tenant_updated' and tenant_id = tests.tenant_id('acme')), 4::bigint,
  'each change is recorded'
);

select * from finish();
rollback;
