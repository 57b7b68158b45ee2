begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
create function pg_temp.take(p_tenant text, p_metric text, p_items jsonb) returns setof public.quota_answer language sql as $$
  select * from public.consume_quotas(
    tests.tenant_id(p_tenant),
    (select jsonb_agg(jsonb_build_object('metric', p_metric, 'subject', key, 'amount', value)) from jsonb_each(p_items))
  )
$$;

select tests.act_as_service_role();
select results_eq(
  $$ select allowed, used from pg_temp.take('solo', 'analysis_runs', '{"u1": 20, "u2": 5}') $$,
  $$ values (true, 20::bigint), (true, 5) $$, 'each within their own limit'
);
select results_eq(
  $$ select allowed, used, reason from pg_temp.take('solo', 'analysis_runs', '{"u1": 1, "u2": 5}') $$,
  $$ values (false, 20::bigint, 'quota_exceeded'), (false, 5, 'denied_together') $$, 'the one keeps the other from theirs'
);
select results_eq(
  $$ select allowed, used from pg_temp.take('acme', 'tokens', '{"u1": 6000, "u2": 4000}') $$,
  $$ values (true, 6000::bigint), (true, 10000) $$, 'all within the limit of their tenant'
);
select tests.act_as_owner();
update private.quota_counters set used = 0 where metric = 'tokens';
select results_eq(
  $$ select allowed, reason from pg_temp.take('acme', 'tokens', '{"u1": 6000, "u2": 4001}') $$,
  $$ values (false, 'denied_together'), (false, 'quota_exceeded') $$, 'which each would fit into, but not all'
);
select results_eq(
  $$ select allowed, reason from pg_temp.take('acme', 'tokens', '{"u1": 4000, "u2": 4000, "u3": 4000}') $$,
  $$ values (false, 'denied_together'), (false, 'denied_together'), (false, 'quota_exceeded') $$, 'however many they are'
);
select is((select used from private.quota_counters where metric = 'tokens'), 0::bigint, 'so that none is taken');
select is((select sum(denied) from private.quota_denials where metric = 'tokens'), 2::numeric, 'and one denial of each call is counted');

select * from finish();
rollback;
