begin;
select plan(16);

-- As many as shall be served; without triggers, so that it is quick.
set local session_replication_role = replica;
insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't', 't' || i, 'startup' from generate_series(1, 100000) i order by 1;
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
select id, 'analysis_runs', 'day', 'subject', 10 from public.tenants order by id;
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
select id, 'analysis_runs', 'day', 'u1', date_trunc('day', now(), 'UTC'), 1 from public.tenants order by id;
insert into public.quota_decisions
  (tenant_id, metric, period, subject, amount, allowed, used, limit_value, window_start, windows, plan_id)
select id, 'analysis_runs', 'day', 'u1', 1, false, 10, 10, date_trunc('day', now(), 'UTC') - interval '1 day', '[]', 'startup'
from public.tenants limit 20000;
-- A catalogue that is worth an index.
insert into public.billing_plans (id, name, description, is_self_serve, sort_order)
select 'plan' || i, 'Plan', 'A plan', false, 100 + i from generate_series(1, 2000) i;
insert into public.plan_limits (plan_id, metric, period, per, limit_value)
select 'plan' || i, l.metric, l.period, l.per, l.limit_value from public.plan_limits l, generate_series(1, 2000) i where l.plan_id = 'startup';
set local session_replication_role = origin;
analyze public.tenants, public.tenant_limits, public.plan_limits, public.quota_decisions, private.quota_counters;

-- Counted by Postgres while the functions run, so that this holds of their own statements.
create temp table relations (name text primary key, is_index boolean, of_check boolean);
insert into relations values
  ('tenants', false, true), ('tenant_limits', false, true), ('plan_limits', false, true), ('private.quota_counters', false, true),
  ('quota_decisions', false, true),
  ('tenants_pkey', true, true), ('tenant_limits_pkey', true, true), ('plan_limits_pkey', true, true),
  ('private.quota_counters_pkey', true, true), ('quota_decisions_one_per_sight', true, false);
create temp view scans as select r.*, pg_stat_get_xact_numscans(r.name::regclass) as n from relations r;

-- More often than a plan is made for its arguments: after five times it is one for any.
create temp table before_check as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.check_tenant_quota(tests.tenant_id('t' || v_i * 1000), 'analysis_runs', v_i, 'u1');
  end loop;
end $$;
create temp table before_take as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.consume_quota(tests.tenant_id('t' || v_i * 1000 + 1), 'analysis_runs', v_i, 'u1');
  end loop;
end $$;
create temp table after_take as table scans;

select cmp_ok(c.n - b.n, '>=', 12::bigint, 'check_tenant_quota uses ' || b.name)
from before_check b join before_take c using (name) where b.is_index and b.of_check order by b.name;
select is(
  (select string_agg(b.name, ', ') from before_check b join before_take c using (name) where not b.is_index and c.n > b.n), null,
  'check_tenant_quota reads no whole table'
);
select cmp_ok(c.n - b.n, '>=', case when b.of_check then 12::bigint else 3 end, 'consume_quota uses ' || b.name)
from before_take b join after_take c using (name) where b.is_index order by b.name;
select is(
  (select string_agg(b.name, ', ') from before_take b join after_take c using (name) where not b.is_index and c.n > b.n), null,
  'consume_quota reads no whole table'
);
select is(
  (select count(*) from public.quota_decisions where window_start = date_trunc('day', now(), 'UTC')), 3::bigint,
  'denials were among them'
);
select is((select count(*) from public.tenants), 100000::bigint, 'of a hundred thousand tenants');

-- And what the statements would choose by themselves.
select matches(
  tests.plan_of(format('select * from public.entitlements where tenant_id = %L and metric = ''analysis_runs''', tests.tenant_id('t1'))),
  'tenants_pkey', 'a limit is found by its tenant'
);
select matches(
  tests.plan_of(format('select * from public.tenant_limits where tenant_id = %L and metric = ''analysis_runs''', tests.tenant_id('t1'))),
  'tenant_limits_pkey', 'and its metric'
);
select matches(
  tests.plan_of(format('update private.quota_counters set used = used + 1 where tenant_id = %L and metric = ''analysis_runs''
    and period = ''day'' and subject = ''u1''', tests.tenant_id('t1'))), 'quota_counters_pkey', 'a counter by its key'
);

select * from finish();
rollback;
