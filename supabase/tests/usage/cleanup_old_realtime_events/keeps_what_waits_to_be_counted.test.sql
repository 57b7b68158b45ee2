begin;
select plan(12);

select tests.create_tenant('acme', 'trial');
-- Dropping waits for whoever makes a day, and making one for whoever drops.
select pg_advisory_xact_lock(hashtext('meterbase.ensure_partition'));
create function pg_temp.at(p_days int) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours'
$$;
create function pg_temp.days() returns int[] language sql as $$
  select array_agg(extract(day from date_trunc('day', now(), 'UTC') - starts_at)::int order by starts_at)
  from private.usage_partitions() where starts_at < now() - interval '20 days'
$$;
select private.ensure_usage_partition(pg_temp.at(d)) from unnest(array[40, 35]) d;
create function pg_temp.wait(p_from timestamptz, p_to timestamptz, p_events int) returns void language sql as $$
  insert into private.usage_batches (tenant_id, first_ts, last_ts, events)
  values (tests.tenant_id('acme'), p_from, p_to, p_events)
$$;
-- A pass that counts nothing, as when what waits is locked.
create or replace function private.aggregate_usage_metrics() returns public.rollup_answer
language sql volatile security definer set search_path = '' as $$ select row(0, 0)::public.rollup_answer $$;

select pg_temp.wait(pg_temp.at(35) + interval '24 hours' - interval '1 microsecond', now(), 1);
select is((select cleanup_old_realtime_events()), 1, 'a day before what waits goes');
select is(pg_temp.days(), array[35], 'one of which events wait stays');
select is((select events_since from private.usage_retention), pg_temp.at(39), 'with all of its events');
update private.usage_batches set first_ts = pg_temp.at(40), last_ts = pg_temp.at(35);
select is((select cleanup_old_realtime_events()), 0, 'to the last that waits');
update private.usage_batches set events = 0;
select is((select cleanup_old_realtime_events()), 1, 'denials have no events');
select is(pg_temp.days(), null, 'that would be lost');
select is((select events_since from private.usage_retention), pg_temp.at(34), 'which is noted');

-- One batch far back, and one later.
select private.ensure_usage_partition(pg_temp.at(d)) from unnest(array[40, 38, 36, 35]) d;
delete from private.usage_batches;
select pg_temp.wait(pg_temp.at(40), pg_temp.at(40), 1);
select pg_temp.wait(pg_temp.at(36) - interval '1 microsecond', pg_temp.at(36), 1);
select is((select cleanup_old_realtime_events()), 2, 'a batch of long ago holds no later day');
select is(pg_temp.days(), array[40, 36], 'only those on which something waits');
update private.usage_batches set first_ts = pg_temp.at(39), last_ts = pg_temp.at(39) where last_ts = pg_temp.at(40);
update private.usage_batches set last_ts = first_ts where last_ts = pg_temp.at(36);
select is((select cleanup_old_realtime_events()), 2, 'none that had ended when it began, or begins when it has ended');
select private.ensure_usage_partition(pg_temp.at(40));
update private.usage_batches set first_ts = first_ts - interval '1 microsecond';
select is((select cleanup_old_realtime_events()), 0, 'but one that it began on');
delete from private.usage_batches;
select is((select cleanup_old_realtime_events()), 1, 'until that is counted');

select * from finish();
rollback;
