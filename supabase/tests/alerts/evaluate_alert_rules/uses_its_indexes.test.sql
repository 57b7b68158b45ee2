begin;
select plan(7);

-- Many tenants with events and denials of two days, few of which a rule is about.
update public.alert_rules set enabled = false;
set local session_replication_role = replica;
insert into public.tenants (id, name, slug, plan_id) select tests.tenant_id('t' || i), 't', 't' || i, 'trial' from generate_series(1, 500) i;
select private.ensure_usage_partition(date_trunc('day', now(), 'UTC') - d * interval '24 hours') from generate_series(0, 2) d;
insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, api_status_code, batch_id)
select tests.tenant_id('t' || i % 499 + 1), now() - i * interval '1 second', i, 'execution', case when i % 100 < 2 then 500 else 200 end, 0 from generate_series(1, 100000) i;
insert into public.quota_decisions (tenant_id, metric, period, subject, amount, allowed, used, limit_value, window_start, windows, plan_id, is_first, created_at)
select tests.tenant_id('t' || i % 499 + 1), 'api_calls', 'minute', '', 1, false, i, 30, now() - i * interval '1 second', '[]', 'trial', true, now() - i * interval '1 second'
from generate_series(1, 50000) i;
insert into public.alerts (type, severity, title, message, dedup_key, status, resolved_at, cleared_at, opened_at)
select 'cost_spike', 'low', 't', 'm', gen_random_uuid() || ':' || i, 'resolved', now(), now(), now() - i * interval '1 minute' from generate_series(1, 50000) i;
set local session_replication_role = origin;
insert into public.alert_rules (tenant_id, name, type, threshold) select tests.tenant_id('t' || i), 'r', t, 0 from generate_series(1, 50) i, unnest(array['execution_failure', 'rate_limit_breach']) t;
analyze public.tenants, public.tenant_usage_realtime, public.quota_decisions, public.alerts, public.alert_rules;

create temp view scans as
select c.oid::regclass::text as name, 'events' as of, c.relkind = 'i' as is_index, pg_stat_get_xact_numscans(c.oid) as n
from pg_inherits h join pg_class c on c.oid = h.inhrelid and (c.relkind = 'i' or c.reltuples > 0) where h.inhparent in ('tenant_usage_realtime'::regclass, 'tenant_usage_realtime_failed'::regclass)
union all
select n, n, n <> all (array['quota_decisions', 'alerts']), pg_stat_get_xact_numscans(n::regclass)
from unnest(array['quota_decisions', 'quota_decisions_first', 'alerts', 'alerts_by_dedup_key', 'alerts_one_per_episode']) n;
create temp table before as table scans;
create temp table seen as select o from private.observe_usage(now()) o;
create temp table between_both as table scans;
create temp table opened as select private.open_alerts((select array_agg(o) from seen), now()) as ids;
create temp table after as table scans;

select set_eq('select (o).type, count(*) > 0 as some from seen group by 1', $$ values ('execution_failure', true), ('rate_limit_breach', true) $$, 'both kinds are seen');
select cmp_ok(
  (select sum(a.n - b.n) from between_both a join before b using (name) where a.of = 'events' and a.is_index), '>=', 50::numeric, 'events that failed are found by the index of those that did'
);
select is((select sum(a.n - b.n) from between_both a join before b using (name) where a.of = 'events' and not a.is_index), 0::numeric, 'no partition is read as a whole');
select cmp_ok((select a.n - b.n from between_both a join before b using (name) where name = 'quota_decisions_first'), '>=', 50::bigint, 'first denials by the index of those');
select is((select a.n - b.n from between_both a join before b using (name) where name = 'quota_decisions'), 0::bigint, 'not all of them are read');
select cmp_ok(cardinality((select ids from opened)), '>', 50, 'and alerts open');
-- A pass may read all that is open, but not all that ever was.
select matches(
  tests.plan_of($$ select from unnest(array['a', 'b']) k where not exists (select from public.alerts a where a.dedup_key = k and (a.cleared_at is null or a.cleared_at > now())) $$),
  'alerts_by_dedup_key|alerts_one_per_episode', 'what has been opened is found by its key'
);

select * from finish();
rollback;
