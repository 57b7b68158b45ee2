begin;
select plan(6);

select tests.create_tenant('acme', 'free');
update public.billing_plans set credit_rollover_months = 2 where id = 'startup';
create temp view noted as
select stripe_line_id, month_start, month_end, stripe_subscription_id, credits, rollover_months from private.credit_months;
create function pg_temp.add(p_invoice jsonb, p_line jsonb) returns void language sql as $$
  delete from private.credit_months;
  select private.add_credit_months(tests.tenant_id('acme'), '{"object": "invoice"}' || p_invoice || jsonb_build_object(
    'lines', jsonb_build_object('data', jsonb_build_array(
      '{"id": "il_1", "amount": 4900, "period": {"start": 1901577600, "end": 1904169600}}' || p_line -- 2030-04-05 to 2030-05-05
    ))
  ))
$$;
prepare regular as
select 'il_1', '2030-04-05Z'::timestamptz, '2030-05-05Z'::timestamptz, 'sub_1', 300::numeric, 2;

select pg_temp.add(
  '{"parent": {"subscription_details": {"subscription": "sub_1"}}}',
  '{"pricing": {"price_details": {"price": "price_startup_monthly"}},
    "parent": {"subscription_item_details": {"subscription": "sub_1", "proration": false}}}'
);
select results_eq('table noted', 'regular', 'a line as it is since 2025');
select pg_temp.add(
  '{"subscription": "sub_1"}', '{"price": {"id": "price_startup_monthly", "object": "price"}, "proration": false}'
);
select results_eq('table noted', 'regular', 'and as it was before');
select pg_temp.add(
  '{"subscription": {"id": "sub_1", "object": "subscription"}}', '{"pricing": {"price_details": {"price": {"id": "price_startup_monthly"}}}}'
);
select results_eq('table noted', 'regular', 'with objects in the place of their ids');
select pg_temp.add(
  '{"parent": {"subscription_details": {"subscription": "sub_1"}}}',
  '{"pricing": {"price_details": {"price": "price_startup_monthly"}}, "amount": -1, "period": {"start": 1902873600, "end": 1904169600},
    "parent": {"subscription_item_details": {"subscription": "sub_2", "proration": true}}}'
);
select results_eq(
  'select stripe_subscription_id, round(credits, 6) from noted', $$ values ('sub_2', -150.000000) $$,
  'a proration of a subscription item, of the subscription that the line names; less than nothing where it is refunded'
);
select pg_temp.add(
  '{"parent": {"subscription_details": {"subscription": "sub_1"}}}',
  '{"pricing": {"price_details": {"price": "price_startup_monthly"}}, "period": {"start": 1902873600, "end": 1904169600},
    "parent": {"invoice_item_details": {"proration": true}}}'
);
select is((select round(credits, 6) from noted), 150.000000, 'a proration of an invoice item');
select pg_temp.add(
  '{"subscription": "sub_1"}',
  '{"price": {"id": "price_startup_monthly"}, "period": {"start": 1902873600, "end": 1904169600}, "proration": true}'
);
select is((select round(credits, 6) from noted), 150.000000, 'a proration as it was before');

select * from finish();
rollback;
