begin;
select plan(9);

select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = 'price_pro' where id = 'pro_monthly';
create temp view noted as
select stripe_line_id, count(*) as months, sum(credits) as credits from private.credit_months group by 1 order by 1;
create function pg_temp.line(p_id text, p_price text, p_amount numeric, p_end text default '2030-05-05Z') returns jsonb language sql as $$
  select jsonb_build_object(
    'id', p_id, 'amount', p_amount, 'price', p_price,
    'period', jsonb_build_object('start', extract(epoch from timestamptz '2030-04-05Z'), 'end', extract(epoch from p_end::timestamptz))
  )
$$;
create function pg_temp.add(variadic p_lines jsonb[]) returns void language sql as $$
  select private.add_credit_months(tests.tenant_id('acme'), jsonb_build_object(
    'object', 'invoice', 'subscription', 'sub_1', 'lines', jsonb_build_object('data', to_jsonb(p_lines))
  ))
$$;

select pg_temp.add(pg_temp.line('free', 'price_startup_monthly', 0));
select is_empty('table noted', 'a free trial grants nothing');
select pg_temp.add(pg_temp.line('foreign', 'price_of_something_else', 4900));
select is_empty('table noted', 'nor does what is no price of a plan');
select pg_temp.add(pg_temp.line('pro', 'price_pro', 4900));
select is_empty('table noted', 'nor a price without credits');
select private.add_credit_months(tests.tenant_id('acme'), jsonb_build_object(
  'object', 'invoice', 'lines', jsonb_build_object('data', jsonb_build_array(pg_temp.line('single', 'price_startup_monthly', 4900)))
));
select is_empty('table noted', 'nor an invoice of no subscription');
select pg_temp.add(variadic array[]::jsonb[]);
select is_empty('table noted', 'nor one without lines');

select pg_temp.add(
  pg_temp.line('month', 'price_startup_monthly', 4900), pg_temp.line('pro', 'price_pro', 4900),
  pg_temp.line('year', 'price_enterprise_annual', 149900, '2031-04-05Z'), pg_temp.line('cent', 'price_startup_monthly', -1),
  pg_temp.line('extra', 'price_of_something_else', 4900)
);
select results_eq(
  'table noted', $$ values ('cent', 1::bigint, -300::numeric), ('month', 1, 300), ('year', 12, 14400) $$,
  'all others do, each by its price and interval'
);
select pg_temp.add(pg_temp.line('month', 'price_startup_monthly', 4900), pg_temp.line('year', 'price_enterprise_annual', 1, '2031-04-05Z'));
select is((select sum(months) from noted), 14::numeric, 'a line is noted once');
update public.plan_prices set credits_per_month = 5000 where id = 'startup_monthly';
update public.billing_plans set credit_rollover_months = null where id = 'startup';
select pg_temp.add(pg_temp.line('month', 'price_startup_monthly', 4900), pg_temp.line('next', 'price_startup_monthly', 4900));
select results_eq(
  'select * from noted where stripe_line_id in (''month'', ''next'')', $$ values ('month', 1::bigint, 300::numeric), ('next', 1, 5000) $$,
  'by the price of then'
);
select results_eq(
  'select distinct stripe_line_id, rollover_months from private.credit_months where stripe_line_id in (''month'', ''next'') order by 1',
  $$ values ('month', 0), ('next', null) $$, 'and the plan of then'
);

select * from finish();
rollback;
