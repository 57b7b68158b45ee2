begin;
select plan(2);

select results_eq(
  $$ select id, plan_id, "interval"::text, unit_amount, currency, credits_per_month from public.plan_prices
     order by unit_amount, id $$,
  $$ values
       ('pro_monthly', 'pro', 'month', 4900, 'usd', 0),
       ('startup_monthly', 'startup', 'month', 4900, 'usd', 300),
       ('enterprise_monthly', 'enterprise', 'month', 14900, 'usd', 1000),
       ('enterprise_workflows_monthly', 'enterprise', 'month', 19900, 'usd', 0),
       ('startup_annual', 'startup', 'year', 49900, 'usd', 350),
       ('enterprise_annual', 'enterprise', 'year', 149900, 'usd', 1200) $$,
  'prices, in cents, with their credits'
);
select throws_ok(
  $$ update public.plan_prices set unit_amount = -1 $$, '23514', null, 'a price is not negative'
);

select * from finish();
rollback;
