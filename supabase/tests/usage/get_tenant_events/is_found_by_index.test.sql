begin;
select plan(10);

insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't' || i, 't' || i, 'trial' from generate_series(1, 200) i;
insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, batch_id)
select tests.tenant_id('t' || i), date_trunc('day', now(), 'UTC') + j * interval '10 minutes', j::text,
  case when j = 7 then 'search' else 'embedding' end, i
from generate_series(1, 200) i, generate_series(1, 100) j;
create temp table summary as
select to_jsonb(s) || jsonb_build_object('metric_id', gen_random_uuid()) as fields
from private.summarize_usage(tests.tenant_id('t1'), 'hourly', now(), null, null) s;
insert into public.tenant_usage_metrics
select (m.row).*
from summary, generate_series(1, 200) i, generate_series(1, 100) j, lateral (
  select jsonb_populate_record(null::public.tenant_usage_metrics, fields || jsonb_build_object(
    'tenant_id', tests.tenant_id('t' || i), 'period_start', date_trunc('day', now(), 'UTC') - j * interval '1 hour'
  )) offset 0
) as m (row);
insert into public.tenant_metric_usage
select m.tenant_id, metric, m.period_type, m.period_start, 5
from public.tenant_usage_metrics m, unnest(array['tokens', 'embeddings']) metric;
insert into private.chat_sessions (tenant_id, session, first_ts, last_ts)
select tests.tenant_id('t' || i), gen_random_uuid(), now(), now() - j * interval '1 hour'
from generate_series(1, 200) i, generate_series(1, 50) j;
analyze public.tenants, public.tenant_usage_realtime, public.tenant_usage_metrics, public.tenant_metric_usage,
  private.chat_sessions;

-- Counted by Postgres while the functions run, so that this holds of their own statements.
create temp view scans as
select coalesce(sum(pg_stat_get_xact_numscans(c.oid)), 0) as of_tables
from pg_class c
where c.relkind = 'r' and (
  c.oid = any (array['public.tenant_usage_metrics', 'public.tenant_metric_usage', 'private.chat_sessions']::regclass[])
  or c.relnamespace = 'private'::regnamespace
    and c.relname like to_char(now() at time zone 'UTC', '"tenant\_usage\_realtime\_y"YYYY"m"MM"d"DD%')
);
create temp table before as select * from scans;

select is(
  (select sum(n.count) from generate_series(1, 8) i, lateral (
    select count(*) from get_tenant_events(case when i > 0 then tests.tenant_id('t1') end, max_rows => 10)
  ) n), 80::numeric, 'a page of events'
);
select is((select * from scans), (select * from before), 'reads no day whole');
select is(
  (select sum(n.count) from generate_series(1, 8) i, lateral (
    select count(*) from get_tenant_events(case when i > 0 then tests.tenant_id('t1') end, event_type => 'search')
  ) n), 8::numeric, 'a page of those of a type'
);
select is((select * from scans), (select * from before), 'reads none, either');
select is(
  (select sum(n.count) from generate_series(1, 8) i, lateral (
    select count(*)
    from get_tenant_usage(case when i > 0 then tests.tenant_id('t1') end, now() - interval '10 days', now(), 'hourly')
  ) n), 800::numeric, 'a tenant''s hours'
);
select is((select * from scans), (select * from before), 'are found by their key');
select matches(
  tests.plan_of($$ select * from public.tenant_usage_realtime where tenant_id = tests.tenant_id('t1') and event_type = 'search'
    and event_timestamp >= date_trunc('day', now(), 'UTC')
      and event_timestamp < date_trunc('day', now(), 'UTC') + interval '24 hours'
    order by event_timestamp desc, event_id desc limit 10 $$),
  'Index Scan.*(by_type|event_type)', 'events of a type have an index of their own'
);
select matches(
  tests.plan_of($$ select * from public.tenant_metric_usage
                   where metric = 'tokens' and period_type = 'hourly'
                     and period_start = date_trunc('day', now(), 'UTC') - interval '5 hours' $$),
  'tenant_metric_usage_by_metric', 'who used a metric is found by its period'
);
select matches(
  tests.plan_of($$ select * from public.tenant_usage_metrics
                   where period_type = 'hourly' and period_start = date_trunc('day', now(), 'UTC') - interval '5 hours' $$),
  'tenant_usage_metrics_by_period', 'so is who used anything'
);
select matches(
  tests.plan_of($$ delete from private.chat_sessions where last_ts < now() - interval '49 hours' $$),
  'chat_sessions_by_age', 'and the sessions that have ended'
);

select * from finish();
rollback;
