begin;
select plan(8);

select tests.create_tenant('acme', 'startup');
create function pg_temp.consume(p_amount bigint) returns text language sql as $$
  select (c.allowed, c.period, c.used, c.resets_at)::text
  from consume_quota(tests.tenant_id('acme'), 'analysis_runs', p_amount, 'u1') c
$$;
create function pg_temp.set_time(p_time timestamptz) returns void language sql as $$
  update public.tenants set clock_offset = p_time - now() where id = tests.tenant_id('acme')
$$;
-- The 27th of the month after this one: a day before any month's end.
create temp table day as select date_trunc('month', now(), 'UTC') + interval '1 month 26 days' as starts_at;

select pg_temp.set_time(starts_at + interval '23:59:59') from day;
select is(
  pg_temp.consume(20), (select (true, 'day', 20, starts_at + interval '1 day')::text from day), 'in the last second of a day'
);
select is(
  pg_temp.consume(1), (select (false, 'day', 20, starts_at + interval '1 day')::text from day), 'the day is full'
);
select pg_temp.set_time(starts_at + interval '1 day') from day;
select is(
  pg_temp.consume(2), (select (true, 'day', 2, starts_at + interval '2 days')::text from day), 'in the first of the next it is empty'
);
select is(
  (select used from private.quota_counters where period = 'month'), 22::bigint, 'while the month went on'
);
select pg_temp.set_time(date_trunc('month', starts_at) + interval '1 month') from day;
select is(pg_temp.consume(3), (
  select (true, 'day', 3, date_trunc('month', starts_at) + interval '1 month 1 day')::text from day
), 'in the next month');
select is((select used from private.quota_counters where period = 'month'), 3::bigint, 'the month is empty, too');
select is((select count(*) from private.quota_counters), 2::bigint, 'a counter rolls in place');

insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'seats', 'none', 2);
select consume_quota(tests.tenant_id('acme'), 'seats', 2);
update public.tenants set clock_offset = '400 days' where id = tests.tenant_id('acme');
select is(
  (select (allowed, used, resets_at)::text from consume_quota(tests.tenant_id('acme'), 'seats')), '(f,2,)',
  'a window of none never ends'
);

select * from finish();
rollback;
