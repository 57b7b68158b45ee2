begin;
select plan(6);

set local timezone = 'Pacific/Apia';
select tests.create_tenant('acme', 'trial');
update public.tenants set clock_offset = date_trunc('day', now(), 'UTC') + interval '24 hours 1 second' - now();

select is(
  (select resets_at from consume_quota(tests.tenant_id('acme'), 'tokens')), date_trunc('day', now(), 'UTC') + interval '48 hours',
  'a day ends at midnight UTC, whatever the session''s time zone'
);
select is(
  private.window_start('month', '2026-03-31 23:30-02'), '2026-04-01 00:00Z'::timestamptz, 'a month starts there'
);
select is(private.window_end('month', '2026-02-01 00:00Z'), '2026-03-01 00:00Z'::timestamptz, 'and ends there');
select is(
  private.window_start('hour', '2026-03-31 23:30+05:30'), '2026-03-31 18:00Z'::timestamptz, 'an hour is one of UTC'
);
select is(
  private.window_start('minute', '2026-03-31 23:30:59.999Z'), '2026-03-31 23:30Z'::timestamptz, 'a minute starts on the minute'
);
set local timezone = 'America/New_York';
select is(
  private.window_end('day', '2026-03-08 00:00Z'), '2026-03-09 00:00Z'::timestamptz, 'no day has 23 hours'
);

select * from finish();
rollback;
