begin;
select plan(11);

select results_eq(
  $$ select price_id, plan_id, name, "interval"::text, unit_amount, currency, credits_per_month, discount_percent, sort_order
     from public.price_list order by sort_order, unit_amount $$,
  $$ values
       ('startup_monthly', 'startup', 'Startup Audit - Monthly', 'month', 4900, 'usd', 300, null::numeric, 40),
       ('startup_annual', 'startup', 'Startup Audit - Annual', 'year', 49900, 'usd', 350, 15.1, 40),
       ('pro_monthly', 'pro', 'Pro - Monthly', 'month', 4900, 'usd', 0, null, 50),
       ('enterprise_monthly', 'enterprise', 'Enterprise Deep Dive - Monthly', 'month', 14900, 'usd', 1000, null, 60),
       ('enterprise_workflows_monthly', 'enterprise', 'Enterprise - Monthly', 'month', 19900, 'usd', 0, null, 60),
       ('enterprise_annual', 'enterprise', 'Enterprise Deep Dive - Annual', 'year', 149900, 'usd', 1200, 16.2, 60) $$,
  'a yearly price has its discount against twelve months, in percent'
);

insert into public.plan_prices (id, plan_id, product, "interval", unit_amount, currency) values
  ('startup_annual_eur', 'startup', 'Startup Audit', 'year', 45000, 'eur'),
  ('pro_annual', 'pro', 'Pro', 'year', 58800, 'usd'),
  ('gift_monthly', 'pro', 'Gift', 'month', 0, 'usd'), ('gift_annual', 'pro', 'Gift', 'year', 0, 'usd');
create function pg_temp.discount(p_price_id text) returns numeric language sql as $$
  select discount_percent from public.price_list where price_id = p_price_id
$$;
select is(pg_temp.discount('startup_annual_eur'), null, 'none without a monthly price in its currency');
select is(pg_temp.discount('pro_annual'), 0.0, 'none where twelve months cost as much');
select is(pg_temp.discount('gift_annual'), null, 'and none of nothing');
select is((select count(*) from public.price_list), (select count(*) from public.plan_prices), 'each price stands there once');
select throws_ok($$ update public.plan_prices set currency = 'EUR' $$, '23514', null, 'a currency is three small letters');
select throws_ok(
  $$ insert into public.plan_prices (id, plan_id, product, "interval", unit_amount) values ('x', 'pro', 'Pro', 'month', 1) $$,
  '23505', null, 'a product has one price for an interval and currency'
);
select throws_ok($$ update public.plan_prices set credits_per_month = -1 $$, '23514', null, 'its credits are not negative');
select throws_ok($$ update public.plan_prices set stripe_price_id = 'same' $$, '23505', null, 'two share no Stripe price');
select throws_ok($$ update public.billing_plans set grace_days = -1 $$, '23514', null, 'no grace is negative');

select set_stripe_price('pro_monthly', 'price_1');
select tests.act_as_anon();
select is(
  (select stripe_price_id from public.price_list where price_id = 'pro_monthly'), 'price_1', 'anon reads it, with the Stripe price'
);

select * from finish();
rollback;
