begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
select record_usage(tests.tenant_id('acme'), jsonb_agg(jsonb_build_object(
  'event_id', i::text, 'event_type', 'chat_message', 'event_timestamp', pg_temp.at(i, '10:00'), 'tokens_consumed', i,
  'metadata', jsonb_build_object('session_id', i)
))) from generate_series(1, 29) i;
select aggregate_usage_metrics();
create function pg_temp.tokens(p_days int, p_type text default 'daily') returns bigint language sql as $$
  select total_tokens_used from public.tenant_usage_metrics
  where period_type = p_type
    and period_start = date_trunc(case p_type when 'monthly' then 'month' else 'day' end, pg_temp.at(p_days, '0'), 'UTC')
$$;
create temp table before as
select to_jsonb(m) as usage from public.tenant_usage_metrics m;
select is((select count(*) from public.tenant_usage_metrics where period_type = 'daily'), 29::bigint, 'days that are counted');

-- As if the days until 10 days ago had been dropped, some events of which came again.
update private.usage_retention set events_since = pg_temp.at(10, '0');
delete from public.tenant_usage_realtime where event_timestamp < pg_temp.at(10, '0') and event_id <> '20';
select is(
  (select events_processed from recompute_usage_metrics('-infinity', 'infinity')), 10::bigint,
  'what has all of its events is counted anew'
);
select bag_eq('select to_jsonb(m) from public.tenant_usage_metrics m', 'select usage from before', 'the rest stays as it is');
select is((select count(*) from private.chat_sessions), 29::bigint, 'with its sessions');

-- A day may have lost events, or receipts, as it grows 30 days old.
update private.usage_retention set events_since = '-infinity';
select private.ensure_usage_partition(pg_temp.at(31, '0'));
insert into private.usage_rollups select tenant_id, period_type, pg_temp.at(31, '10:00'), counts
from private.usage_rollups where period_type = 'hourly' limit 1;
delete from public.tenant_usage_realtime where event_id = '29';
select is(
  (select events_processed from recompute_usage_metrics(pg_temp.at(40, '0'), pg_temp.at(30, '0'))), 0::bigint,
  'nothing is, from before 30 days ago'
);
select isnt_empty(
  $$ select from private.usage_rollups where period_type = 'hourly' and period_start = pg_temp.at(31, '10:00') $$,
  'but what was counted stays'
);
select recompute_usage_metrics(pg_temp.at(29, '0'), pg_temp.at(28, '0'));
select is(pg_temp.tokens(29), null, 'while what is younger follows its events');

select * from finish();
rollback;
