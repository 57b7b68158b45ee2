begin;
select plan(5);

insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't' || i, 't' || i, 'trial' from generate_series(1, 200) i;
insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, batch_id)
select tests.tenant_id('t' || i), date_trunc('day', now(), 'UTC') + j * interval '10 minutes', j::text, 'search', 1000000 + i
from generate_series(1, 200) i, generate_series(1, 100) j;
insert into private.usage_batches (batch_id, tenant_id, first_ts, last_ts, events) overriding system value
select batch_id, tenant_id, min(event_timestamp), max(event_timestamp), count(*) from public.tenant_usage_realtime group by 1, 2;
insert into private.usage_event_keys (tenant_id, event_id)
select tests.tenant_id('t' || i), j::text from generate_series(1, 200) i, generate_series(1, 100) j;
analyze public.tenant_usage_realtime, private.usage_event_keys;

-- Counted by Postgres while the functions run, so that this holds of their own statements.
create temp view scans as
select coalesce(sum(pg_stat_get_xact_numscans(c.oid)) filter (where c.relkind = 'r'), 0) as of_tables,
  coalesce(sum(pg_stat_get_xact_numscans(c.oid)) filter (where c.relkind = 'i'), 0) as of_indexes
from pg_class c
where c.oid = 'private.usage_event_keys'::regclass
  or c.relnamespace = 'private'::regnamespace
    and c.relname like to_char(now() at time zone 'UTC', '"tenant\_usage\_realtime\_y"YYYY"m"MM"d"DD%');
create temp table before as select * from scans;

select is(
  (select sum(t.semantic_searches_performed)
   from generate_series(1, 8) i, get_today_usage(case when i > 0 then tests.tenant_id('t1') end) t),
  8 * 100::numeric, 'sums one tenant''s events'
);
select is((select of_tables from scans), (select of_tables from before), 'without reading the others''');
select cmp_ok((select of_indexes from scans), '>=', (select of_indexes + 8 from before), 'by the key');

select is(
  (select sum(r.accepted)::int from generate_series(1, 8) i, record_usage(
    tests.tenant_id('t1'), jsonb_build_array(jsonb_build_object('event_id', 'new ' || i, 'event_type', 'search'))
  ) r),
  8, 'recording events'
);
select is((select of_tables from scans), (select of_tables from before), 'reads no table whole, either');

select * from finish();
rollback;
