begin;
select plan(2);

-- A client may set its session's time zone (`Prefer: timezone=…`), and its late event may make the partition.
create temp table days as select unnest(array['2026-03-08 00:00Z', '2026-11-01 00:00Z']::timestamptz[]) as starts_at;
set local timezone = 'America/New_York';
select private.ensure_usage_partition(starts_at) from days;
set local timezone = 'UTC';

select is(
  pg_get_expr(relpartbound, oid), $$FOR VALUES FROM ('2026-03-08 00:00:00+00') TO ('2026-03-09 00:00:00+00')$$,
  'where the clocks go forward'
) from pg_class where relname = 'tenant_usage_realtime_y2026m03d08';
select is(
  pg_get_expr(relpartbound, oid), $$FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-11-02 00:00:00+00')$$,
  'and where they go back'
) from pg_class where relname = 'tenant_usage_realtime_y2026m11d01';

select * from finish();
rollback;
