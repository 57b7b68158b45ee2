begin;
select plan(17);

select tests.create_tenant('acme', 'trial');
-- Dropping waits for whoever makes a day, and making one for whoever drops.
select pg_advisory_xact_lock(hashtext('meterbase.ensure_partition'));
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
create function pg_temp.days() returns int[] language sql as $$
  select array_agg(extract(day from date_trunc('day', now(), 'UTC') - starts_at)::int order by starts_at)
  from private.usage_partitions() where starts_at <= now()
$$;
select private.ensure_usage_partition(pg_temp.at(d, '0')) from unnest(array[40, 31, 30, 29, 10, 3, 2, 1, 0]) d;
select record_usage(tests.tenant_id('acme'), jsonb_agg(jsonb_build_object(
  'event_id', 'e' || d, 'event_type', 'search', 'event_timestamp', pg_temp.at(d, '10:00'), 'tokens_consumed', d
))) from unnest(array[29, 10, 2, 1]) d;

select is(pg_temp.days(), array[40, 31, 30, 29, 10, 3, 2, 1, 0], 'of the days that there are');
select is(
  (select cleanup_old_realtime_events()), 2, 'those go that ended 30 days ago'
);
select is(pg_temp.days(), array[30, 29, 10, 3, 2, 1, 0], 'the day that ended since stays');
select is((select events_since from private.usage_retention), pg_temp.at(30, '0'), 'since when all events are there is noted');
select is_empty('select from private.usage_batches', 'what waited is counted');
select is(
  (select sum(total_tokens_used) from public.tenant_usage_metrics where period_type = 'daily'), 42::numeric, 'before that'
);
select is((select cleanup_old_realtime_events()), 0, 'again, nothing is old');
select private.ensure_usage_partition(pg_temp.at(31, '0'));
select is(private.cleanup_old_realtime_events(), 1, 'what pg_cron calls keeps as much');
select is(
  (select cleanup_old_realtime_events(now() - pg_temp.at(2, '0') + interval '1 microsecond')), 3, 'what is kept can be shorter'
);
select is(pg_temp.days(), array[3, 2, 1, 0], 'a day that has not ended before that stays');
select is((select cleanup_old_realtime_events(now() - pg_temp.at(1, '0'))), 2, 'one that has just ended goes');
select is((select events_since from private.usage_retention), pg_temp.at(1, '0'), 'as is noted');
select is((select array_agg(event_id) from public.tenant_usage_realtime), array['e1'], 'with its events');
select is(
  (select sum(total_tokens_used) from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity')), 42::numeric,
  'but not what was counted of them'
);

select is(
  (select (accepted, duplicates)::text from record_usage(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object('event_id', 'late', 'event_type', 'search', 'event_timestamp', pg_temp.at(10, '10:30'),
      'tokens_consumed', 5),
    jsonb_build_object('event_id', 'e10', 'event_type', 'search', 'event_timestamp', pg_temp.at(10, '10:30'),
      'tokens_consumed', 5)
  ))),
  '(1,1)', 'a late event of such a day is still accepted, once'
);
select aggregate_usage_metrics();
select recompute_usage_metrics('-infinity', 'infinity');
select is(
  (select total_tokens_used from public.tenant_usage_metrics
   where period_type = 'hourly' and period_start = pg_temp.at(10, '10:00')), 15::bigint,
  'added to what was counted, and not counted anew without the others'
);
select is((select cleanup_old_realtime_events('1 day')), 1, 'and goes with the next time');

select * from finish();
rollback;
