-- Local development only: the price ids that a Stripe account would give, for the prices that it sells.
update public.plan_prices
set stripe_price_id = 'price_' || id
where id in ('startup_monthly', 'startup_annual', 'enterprise_monthly', 'enterprise_annual');
