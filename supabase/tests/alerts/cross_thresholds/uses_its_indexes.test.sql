begin;
select plan(6);

update public.alert_rules set enabled = false;
set local session_replication_role = replica;
insert into public.tenants (id, name, slug, plan_id) select tests.tenant_id('t' || i), 't', 't' || i, 'trial' from generate_series(1, 20000) i;
insert into public.alerts (tenant_id, type, severity, title, message, dedup_key, status, resolved_at, cleared_at)
select tests.tenant_id('t' || i), 'cost_spike', 'low', 't', 'm', gen_random_uuid() || ':' || i, 'resolved', now(), now() from generate_series(1, 20000) i, generate_series(1, 3);
insert into public.alert_rules (tenant_id, name, type) select tests.tenant_id('t' || i), 'r', 'usage_threshold' from generate_series(1, 20000) i;
insert into public.alert_channels (tenant_id, type, name) select tests.tenant_id('t' || i), 'console', 'c' from generate_series(1, 20000) i;
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used, next_threshold)
select tests.tenant_id('t' || i), 'tokens', 'day', '', date_trunc('day', now(), 'UTC'), 7999, 80 from generate_series(1, 20000) i;
set local session_replication_role = origin;
analyze public.tenants, public.alerts, public.alert_rules, public.alert_channels, private.quota_counters;

create temp view scans as
select n as name, pg_stat_get_xact_numscans(n::regclass) as n
from unnest(array['alerts', 'alert_rules', 'alert_channels', 'tenants', 'private.quota_counters', 'alerts_by_dedup_key', 'alerts_one_per_episode', 'alert_rules_by_tenant', 'alert_channels_by_tenant']) n;
create temp table before as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.consume_quota(tests.tenant_id('t' || v_i * 1000), 'tokens', 1);
  end loop;
end $$;
create temp table after as table scans;
create function pg_temp.scanned(p_name text) returns bigint language sql as $$
  select a.n - b.n from after a join before b using (name) where name = p_name
$$;

select is((select count(*) from public.alerts where type = 'usage_threshold'), 12::bigint, 'takes that cross');
select is(
  (select string_agg(name, ', ') from after join before b using (name) where name in ('alerts', 'alert_rules', 'alert_channels', 'tenants', 'private.quota_counters') and after.n > b.n), null,
  'read no table as a whole'
);
select cmp_ok(pg_temp.scanned('alerts_by_dedup_key') + pg_temp.scanned('alerts_one_per_episode'), '>=', 12::bigint, 'alerts by their key');
select cmp_ok(pg_temp.scanned('alert_rules_by_tenant'), '>=', 12::bigint, 'rules by their tenant');
select cmp_ok(pg_temp.scanned('alert_channels_by_tenant'), '>=', 12::bigint, 'channels, too');
-- Those that cross nothing look at no rule at all.
create temp table before_more as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.consume_quota(tests.tenant_id('t' || v_i * 1000), 'tokens', 1);
  end loop;
end $$;
select is(
  (select sum(s.n - b.n) from scans s join before_more b using (name) where name ~ '^alert'), 0::numeric, 'a take that crosses nothing looks at no rule and no alert'
);

select * from finish();
rollback;
