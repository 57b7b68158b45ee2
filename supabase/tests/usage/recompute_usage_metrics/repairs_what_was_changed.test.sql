begin;
select plan(13);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
create function pg_temp.state() returns setof jsonb language sql as $$
  select to_jsonb(m) - 'metric_id' from public.tenant_usage_metrics m
  -- Gauges come from no events: what they were cannot be counted anew.
  union all select to_jsonb(u) from public.tenant_metric_usage u join public.metrics k on k.id = u.metric and k.kind = 'counter'
  union all select to_jsonb(c) from private.chat_sessions c
  union all select jsonb_strip_nulls(to_jsonb(r)) from private.usage_rollups r
$$;
select record_usage(tests.tenant_id(name), jsonb_agg(jsonb_build_object(
  'event_id', i::text, 'event_type', 'chat_message', 'event_timestamp', pg_temp.at(i % 4 + 1, i * interval '1 hour'),
  'tokens_consumed', i,
  'api_status_code', 500, 'api_response_time_ms', i, 'cost_usd', 0.5, 'metadata', jsonb_build_object('session_id', i % 3)
)))
from unnest(array['acme', 'rival']) name, generate_series(1, 20) i group by name;
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
update public.quota_decisions set created_at = pg_temp.at(2, '05:30'), batch_id = null;
select aggregate_usage_metrics();
update public.quota_decisions set batch_id = 0;
select recompute_usage_metrics('-infinity', 'infinity');
create temp table before as select * from pg_temp.state() s;

-- Does harm, counts anew, and says what is not as before.
create function pg_temp.harm(p_sql text, p_from timestamptz default '-infinity', p_to timestamptz default 'infinity')
returns setof jsonb language plpgsql as $$
begin
  execute p_sql;
  if not exists ((select pg_temp.state() except all select * from before)
                 union all (select * from before except all select pg_temp.state())) then
    return next '"no harm was done"';
  end if;
  perform recompute_usage_metrics(p_from, p_to);
  return query
    (select pg_temp.state() except all select * from before) union all (select * from before except all select pg_temp.state());
end
$$;

select is(
  (select sum(quota_exceeded_count) from public.tenant_usage_metrics
   where period_type = 'hourly' and period_start = pg_temp.at(2, '05:00')), 1::numeric,
  'denials are counted by their receipts'
);
select is_empty($$ select pg_temp.harm('delete from private.usage_rollups') $$, 'roll-ups that are lost');
select is_empty(
  $$ select pg_temp.harm($q$
       update private.usage_rollups set counts.total_tokens_used = 7, counts.peak_qps = 9, counts.latency = null
     $q$) $$,
  'or changed'
);
select is_empty($$ select pg_temp.harm('delete from public.tenant_usage_metrics') $$, 'what is read from them');
select is_empty(
  $$ select pg_temp.harm('update public.tenant_usage_metrics set api_calls_failed = 0, error_rate = 0.5') $$, 'changed, too'
);
select is_empty($$ select pg_temp.harm('delete from public.tenant_metric_usage') $$, 'and each metric''s');
select is_empty($$ select pg_temp.harm('update public.tenant_metric_usage set quantity = quantity + 1') $$, 'changed, too');
select is_empty($$ select pg_temp.harm('delete from private.chat_sessions') $$, 'sessions that are forgotten');
select is_empty(
  $$ select pg_temp.harm('update private.chat_sessions set first_ts = first_ts + interval ''1 hour''') $$,
  'or begin at another time'
);
select is_empty(
  $$ select pg_temp.harm($q$
       insert into private.usage_rollups
       select tenant_id, period_type, period_start + interval '31 minutes', counts
       from private.usage_rollups where period_type = 'hourly'
     $q$) $$,
  'periods that never were'
);
select is_empty(
  $$ select pg_temp.harm($q$
       insert into public.tenant_usage_metrics select (jsonb_populate_record(null::public.tenant_usage_metrics,
         to_jsonb(m) || jsonb_build_object('period_start', pg_temp.at(2, '23:00'), 'tenant_id', tests.tenant_id('acme')))).*
       from public.tenant_usage_metrics m where period_type = 'hourly' limit 1
     $q$) $$,
  'also where they are read'
);
select is_empty(
  $$ select pg_temp.harm($q$
       insert into public.tenant_metric_usage select tests.tenant_id('acme'), metric, type, period_start, 5
       from (values ('embeddings', 'hourly', pg_temp.at(2, '23:00')), ('executions', 'daily', pg_temp.at(2, '0')),
         ('tokens', 'hourly', pg_temp.at(2, '23:00'))) as u (metric, type, period_start)
     $q$) $$,
  'and metrics'
);
select is_empty(
  $$ select pg_temp.harm(
       $q$
         update private.usage_rollups set counts.total_tokens_used = 7
         where period_type = 'hourly' and period_start >= pg_temp.at(2, '0') and period_start < pg_temp.at(1, '0')
       $q$,
       pg_temp.at(2, '0'), pg_temp.at(1, '0')
     ) $$,
  'a day is enough where a day is wrong'
);

select * from finish();
rollback;
