begin;
select plan(6);

select tests.create_tenant('acme', 'startup');
select tests.set_clock('acme');
update public.plan_limits set enforcement = 'soft' where plan_id = 'startup' and metric = 'analysis_runs' and period = 'day';
create temp view receipts as select amount, used, limit_value, reason, subject from public.quota_decisions;
create function pg_temp.take(p_amounts bigint[], p_subject text default 'u1') returns setof public.quota_answer language sql as $$
  select * from public.consume_quota_batch(tests.tenant_id('acme'), 'analysis_runs', p_amounts, p_subject)
$$;

select results_eq(
  $$ select used, reason, decision_id is not null from pg_temp.take('{15, 5, 6, 1}') $$,
  $$ values (15::bigint, null, false), (20, null, false), (26, 'soft_limit_exceeded', true), (27, 'soft_limit_exceeded', false) $$,
  'the first amount past it'
);
select results_eq(
  'table receipts', $$ values (6::bigint, 26::bigint, 20::bigint, 'soft_limit_exceeded', 'u1') $$, 'and no other'
);
select pg_temp.take('{21}', 'u2');
select set_eq('select subject from receipts', array['u1', 'u2'], 'of each subject');
select tests.set_clock('acme', '1 day');
select pg_temp.take('{20}');
select is((select count(*) from receipts), 2::bigint, 'a new window is crossed anew');
select pg_temp.take('{1}');
select is((select count(*) from receipts where subject = 'u1'), 2::bigint, 'once');
update public.plan_limits set limit_value = 0 where plan_id = 'startup' and metric = 'analysis_runs' and period = 'day';
select is((select reason from pg_temp.take('{1}', 'u3')), 'soft_limit_exceeded', 'one of nothing is crossed by the first');

select * from finish();
rollback;
