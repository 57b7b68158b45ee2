begin;
select plan(9);

select tests.create_tenant('acme', 'free');
select private.lock_credit_account(tests.tenant_id('acme'));
create function pg_temp.month(
  p_line text, p_end timestamptz, p_credits numeric, p_rollover int default 0, p_subscription text default 'sub_1'
) returns void language sql set timezone = 'UTC' as $$
  insert into private.credit_months values
    (tests.tenant_id('acme'), p_line, p_end - interval '1 month', p_end, p_subscription, p_credits, p_rollover)
$$;
create function pg_temp.settle(p_at timestamptz) returns bigint language sql as $$
  select private.settle_credits(tests.tenant_id('acme'), p_at)
$$;
create temp view entries as
select kind::text, amount, balance, effective_at, expires_at from public.credit_ledger order by id;

select pg_temp.month('startup', '2030-05-01Z', 300);
select is(pg_temp.settle('2030-04-01Z'), 300::bigint, 'a month of a plan');
select pg_temp.month('refunded', '2030-05-01Z', -150);
select pg_temp.month('enterprise', '2030-05-01Z', 500);
select is(pg_temp.settle('2030-04-16Z'), 650::bigint, 'and half a month of a greater one in the place of the second half');
select results_eq(
  'select kind, amount, balance, effective_at from entries',
  $$ values ('grant', 300::bigint, 300::bigint, '2030-04-01Z'::timestamptz), ('grant', 350, 650, '2030-04-16Z') $$, 'as one entry more'
);
select is(pg_temp.settle('2030-04-17Z'), 650::bigint, 'once');
select results_eq('select granted, remaining from private.credit_grants', 'values (650::bigint, 650::bigint)', 'of the same grant');

select pg_temp.month('other', '2030-05-01Z', 20, 0, 'sub_2');
select pg_temp.month('offset', '2030-05-02Z', 3);
select is(pg_temp.settle('2030-04-18Z'), 673::bigint, 'other subscriptions and other months add up');
select results_eq(
  'select stripe_subscription_id, month_end, granted from private.credit_grants order by month_end, 1',
  $$ values ('sub_1', '2030-05-01Z'::timestamptz, 650::bigint), ('sub_2', '2030-05-01Z', 20), ('sub_1', '2030-05-02Z', 3) $$,
  'each as a grant of its own'
);
select pg_temp.month('a', '2030-05-03Z', 0.25);
select pg_temp.month('b', '2030-05-03Z', 0.25);
select is(pg_temp.settle('2030-04-19Z'), 674::bigint, 'halves are rounded up, of the sum');
select pg_temp.month('c', '2030-05-03Z', 0.99);
select is(pg_temp.settle('2030-04-19Z'), 674::bigint, 'less than half is not');

select * from finish();
rollback;
