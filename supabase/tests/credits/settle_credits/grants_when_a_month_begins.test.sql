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

select pg_temp.month('march', '2030-04-10 12:00Z', 300);
select pg_temp.month('april', '2030-05-10 12:00Z', 300);
select is(pg_temp.settle('2030-03-10 11:59:59.999999Z'), 0::bigint, 'nothing before it begins');
select is_empty('table entries', 'not even an entry');
select is(pg_temp.settle('2030-03-10 12:00Z'), 300::bigint, 'its credits once it begins');
select results_eq(
  'table entries', $$ values ('grant', 300::bigint, 300::bigint, '2030-03-10 12:00Z'::timestamptz, '2030-04-10 12:00Z'::timestamptz) $$,
  'good until it ends'
);
select is((select reason from public.credit_ledger), 'sub_1', 'because of the subscription');
select is(pg_temp.settle('2030-03-20Z'), 300::bigint, 'once');
select is(pg_temp.settle('2030-04-10 11:59:59.999999Z'), 300::bigint, 'until the next begins');
select is(pg_temp.settle('2030-04-10 12:00Z'), 300::bigint, 'whose credits replace them');
select results_eq(
  'select kind, amount, balance, effective_at from entries offset 1',
  $$ values ('expiry', -300::bigint, 0::bigint, '2030-04-10 12:00Z'::timestamptz), ('grant', 300, 300, '2030-04-10 12:00Z') $$,
  'what is left of the one expires, then the other is granted'
);

select * from finish();
rollback;
