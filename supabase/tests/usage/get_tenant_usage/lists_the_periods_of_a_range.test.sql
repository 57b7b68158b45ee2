begin;
select plan(17);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
create function pg_temp.periods(p_from timestamptz, p_to timestamptz, p_type text) returns text language sql as $$
  select string_agg(
    (extract(epoch from date_trunc('day', now(), 'UTC') - period_start) / 3600)::int || ': ' || total_tokens_used, ', '
  )
  from get_tenant_usage(tests.tenant_id('acme'), p_from, p_to, p_type)
$$;
-- 72 and 71 hours, and 24 hours before this day.
select record_usage(tests.tenant_id('acme'), jsonb_build_array(
  jsonb_build_object('event_id', 'a', 'event_type', 'search', 'event_timestamp', pg_temp.at(3, '0'), 'tokens_consumed', 1),
  jsonb_build_object('event_id', 'b', 'event_type', 'search', 'event_timestamp', pg_temp.at(3, '01:59'), 'tokens_consumed', 10)
));
select aggregate_usage_metrics();
select record_usage(tests.tenant_id('acme'), jsonb_build_array(
  jsonb_build_object('event_id', 'c', 'event_type', 'search', 'event_timestamp', pg_temp.at(3, '01:00'), 'tokens_consumed', 100),
  jsonb_build_object('event_id', 'd', 'event_type', 'search', 'event_timestamp', pg_temp.at(1, '0'), 'tokens_consumed', 1000)
));
select record_usage(tests.tenant_id('rival'), jsonb_build_array(
  jsonb_build_object('event_id', 'a', 'event_type', 'search', 'event_timestamp', pg_temp.at(2, '0'), 'tokens_consumed', 7)
));

select is(pg_temp.periods(pg_temp.at(3, '0'), pg_temp.at(0, '0'), 'hourly'), '72: 1, 71: 110, 24: 1000', 'hours');
select is(pg_temp.periods(pg_temp.at(3, '0'), pg_temp.at(0, '0'), 'daily'), '72: 111, 24: 1000', 'days');
select is(
  (select array_agg(distinct period_start)
   from get_tenant_usage(tests.tenant_id('acme'), pg_temp.at(3, '0'), pg_temp.at(0, '0'), 'monthly')),
  (select array_agg(distinct date_trunc('month', pg_temp.at(d, '0'), 'UTC')) from unnest(array[3, 1]) d), 'months'
);
select is(
  (select sum(total_tokens_used)
   from get_tenant_usage(tests.tenant_id('acme'), pg_temp.at(3, '0'), pg_temp.at(0, '0'), 'monthly')), 1111::numeric,
  'of all that there is'
);
select is(
  (select count(*) from get_tenant_usage(tests.tenant_id('acme'), pg_temp.at(3, '0'), pg_temp.at(0, '0'))), 2::bigint,
  'days when nothing is said'
);
select is(pg_temp.periods(pg_temp.at(3, '01:00'), pg_temp.at(1, '0'), 'hourly'), '71: 110', 'from an hour, until another');
select is(
  pg_temp.periods(pg_temp.at(3, '00:59:59'), pg_temp.at(1, '00:00:01'), 'hourly'), '72: 1, 71: 110, 24: 1000',
  'those of which it has a part'
);
select is(pg_temp.periods(pg_temp.at(3, '01:30'), pg_temp.at(3, '01:31'), 'hourly'), '71: 110', 'whole');
select is(pg_temp.periods(pg_temp.at(3, '23:00'), pg_temp.at(1, '0'), 'daily'), '72: 111', 'so for days');
select is(pg_temp.periods(pg_temp.at(2, '0'), pg_temp.at(1, '0'), 'daily'), null, 'none where there was nothing');
select is(pg_temp.periods('-infinity', 'infinity', 'daily'), '72: 111, 24: 1000', 'all of them');
select is(pg_temp.periods('-infinity', pg_temp.at(3, '0'), 'daily'), null, 'but those that begin at its end');
select is(pg_temp.periods(pg_temp.at(3, '0'), pg_temp.at(3, '0'), 'hourly'), null, 'an empty range has none');
select is_empty(
  $$ select type from unnest(array['hourly', 'daily', 'monthly']) type
     where pg_temp.periods(pg_temp.at(3, '01:30'), pg_temp.at(3, '01:30'), type) is not null $$,
  'be it within an hour, a day or a month of which events wait'
);
select aggregate_usage_metrics();
select is_empty(
  $$ select type from unnest(array['hourly', 'daily', 'monthly']) type
     where pg_temp.periods(pg_temp.at(3, '01:30'), pg_temp.at(3, '01:30'), type) is not null $$,
  'or all are counted'
);
set local timezone = 'Asia/Kathmandu';
select is(pg_temp.periods(pg_temp.at(3, '0'), pg_temp.at(0, '0'), 'daily'), '72: 111, 24: 1000', 'days are those of UTC');
select is(
  (select array_agg(period_end - period_start) from get_tenant_usage(tests.tenant_id('acme'), '-infinity', 'infinity', 'daily')),
  array['24 hours', '24 hours']::interval[], 'wherever the caller is'
);

select * from finish();
rollback;
