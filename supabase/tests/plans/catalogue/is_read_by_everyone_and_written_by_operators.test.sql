begin;
select plan(7);

select tests.create_user('ann');
create temp table catalogue as
select unnest(array[
  'billing_plans', 'plan_prices', 'metrics', 'plan_limits', 'model_prices', 'usage_event_types'
]) as relation;
grant select on catalogue to anon, authenticated, service_role;
create function pg_temp.fault(p_statement text) returns setof text language sql as $$
  select relation || coalesce(' ' || tests.error_of(format(p_statement, relation)), '') from catalogue
$$;

select tests.act_as_anon();
select set_eq(
  $$ select * from pg_temp.fault('select 1 / count(*) from public.%I') $$, 'select relation from catalogue',
  'anon reads rows of every part'
);
select is_empty(
  $$ select f from pg_temp.fault('delete from public.%I') f where f !~ ' 42501$' $$, 'and deletes from none'
);
select tests.act_as_user('ann');
select set_eq(
  $$ select * from pg_temp.fault('select 1 / count(*) from public.%I') $$, 'select relation from catalogue',
  'a signed-in user reads rows of every part'
);
select is_empty(
  $$ select f from pg_temp.fault('delete from public.%I') f where f !~ ' 42501$' $$, 'and deletes from none'
);
select throws_ok(
  $$ update public.plan_limits set limit_value = null $$, '42501', null, 'nor lifts a limit of a plan'
);
select tests.act_as_user('ann', '{"role": "service_role"}');
select throws_ok(
  $$ update public.plan_limits set limit_value = null $$, '42501', null, 'nor with a forged claim'
);
select tests.act_as_service_role();
select lives_ok($$ update public.plan_limits set limit_value = 1 where plan_id = 'free' $$, 'the service role does');

select * from finish();
rollback;
