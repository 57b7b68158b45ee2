begin;
select plan(4);

insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't' || i, 't' || i, 'startup' from generate_series(1, 2000) i;
select tests.create_user('ann');
select tests.add_member('t1', 'ann', 'editor');
insert into auth.users (id, email) select md5('u' || i)::uuid, 'u' || i || '@example.com' from generate_series(1, 2000) i;
insert into public.memberships (tenant_id, user_id, role)
select tests.tenant_id('t' || i), md5('u' || i)::uuid, 'editor' from generate_series(1, 2000) i;
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
select tests.tenant_id('t' || i), 'analysis_runs', 'day', 'u' || j, date_trunc('day', now(), 'UTC'), 1
from generate_series(1, 2000) i, generate_series(1, 10) j;
insert into private.quota_grants (tenant_id, idempotency_key, metric, amount, subject, answer)
select tests.tenant_id('t' || i), 'k' || j, 'tokens', 1, '',
  row(true, 'tokens', 'day', 1, 1, 0, null, null, null, null)::public.reservation_answer
from generate_series(1, 2000) i, generate_series(1, 10) j;
insert into public.quota_decisions
  (tenant_id, metric, period, subject, amount, allowed, used, limit_value, window_start, windows, plan_id)
select tests.tenant_id('t' || i), 'analysis_runs', 'day', '', 1, false, j, 1, now(), '[]', 'startup'
from generate_series(1, 2000) i, generate_series(1, 10) j;
insert into private.quota_reservations (tenant_id, metric, subject, amount, holds, ttl, expires_at)
select tests.tenant_id('t' || i), 'analysis_runs', '', 1, '{}', '5 minutes', now()
from generate_series(1, 2000) i, generate_series(1, 10) j;
analyze public.tenants, public.memberships, private.quota_counters, private.quota_grants, public.quota_decisions,
  private.quota_reservations;

-- Counted by Postgres while the functions run, so that this holds of their own statements.
create function pg_temp.scans(p_relations regclass[]) returns bigint language sql as $$
  select sum(pg_stat_get_xact_numscans(r))::bigint from unnest(p_relations) r
$$;
create temp view tables as select array[
  'public.tenants', 'public.memberships', 'private.quota_counters', 'private.quota_grants', 'public.quota_decisions',
  'private.quota_reservations'
]::regclass[] as relations;
create temp view indexes as select array[
  'private.quota_counters_pkey', 'private.quota_grants_pkey', 'quota_decisions_one_per_sight',
  'private.quota_reservations_pkey'
]::regclass[] as relations;
create temp table before as
select pg_temp.scans(t.relations) as tables, array(select pg_temp.scans(array[i]) from unnest(x.relations) i) as indexes
from tables t, indexes x;

-- Often enough for plans that no longer look at the arguments; takes, replays and denials.
select tests.act_as_user('ann');
prepare take as
select count(*) from generate_series(1, 8) i, consume_quota(tests.tenant_id('t1'), 'analysis_runs', 2, null, 'key' || i);
execute take;
execute take;
select count(*) from generate_series(1, 8) i, consume_quota(tests.tenant_id('t1'), 'analysis_runs', 20 + i);
select count(*) from generate_series(1, 8) i, check_tenant_quota(tests.tenant_id('t1'), 'analysis_runs', i);
select count(*)
from generate_series(1, 8) i, reserve_quota(tests.tenant_id('t1'), 'api_calls', i) r, settle_reservation(r.reservation_id, 1);
select count(*) from generate_series(1, 8) i, get_quota_status(case when i > 0 then tests.tenant_id('t1') end);
select tests.act_as_owner();

select is(pg_temp.scans(relations), before.tables, 'no call reads a whole table') from tables, before;
select is_empty(
  $$ select i.relation from before, indexes x, unnest(x.relations) with ordinality i (relation, place)
     where pg_temp.scans(array[i.relation]) < before.indexes[i.place] + 8 $$,
  'each uses the keys'
);
select matches(
  tests.plan_of($$ update private.quota_counters set used = used + 1
    where tenant_id = tests.tenant_id('t1') and metric = 'analysis_runs' and period = 'day' and subject = 'u1' $$),
  'Index Scan using quota_counters_pkey', 'a counter is found by its key'
);
select matches(
  tests.plan_of($$ select from private.quota_grants where tenant_id = tests.tenant_id('t1') and idempotency_key = 'k1' $$),
  'Index (Only )?Scan using quota_grants_pkey', 'so is a grant'
);

select * from finish();
rollback;
