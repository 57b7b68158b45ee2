begin;
select plan(12);

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

select pg_temp.month('march', '2030-04-01Z', 300);
select is(pg_temp.settle('2030-04-20 12:00Z'), 300::bigint, 'an invoice that is paid after its month');
select results_eq(
  'table entries', $$ values ('grant', 300::bigint, 300::bigint, '2030-04-20 12:00Z'::timestamptz, '2030-05-20 12:00Z'::timestamptz) $$,
  'grants for a month from then'
);
select pg_temp.month('more', '2030-04-01Z', 20);
select is(pg_temp.settle('2030-04-25Z'), 320::bigint, 'another line of the month');
select is((select expires_at from private.credit_grants), '2030-05-20 12:00Z', 'adds to it');
select pg_temp.month('rolled', '2030-04-01Z', 30, 1);
select pg_temp.settle('2030-04-26Z');
select is((select expires_at from private.credit_grants), '2030-05-20 12:00Z', 'and none makes it expire earlier');
select is(pg_temp.settle('2030-05-20 12:00Z'), 0::bigint, 'which expires then');

select pg_temp.month('may', '2030-06-01Z', 300);
select pg_temp.settle('2030-05-21Z');
select pg_temp.settle('2030-06-01Z');
select pg_temp.month('may more', '2030-06-01Z', 50);
select is(pg_temp.settle('2030-06-10Z'), 50::bigint, 'what comes of a month that has expired');
select results_eq(
  'select kind, amount, effective_at, expires_at from entries offset 6',
  $$ values ('grant', 50::bigint, '2030-06-10Z'::timestamptz, '2030-07-10Z'::timestamptz) $$, 'is good for a month as well'
);
select is(pg_temp.settle('2030-07-10Z'), 0::bigint, 'and no longer');

select pg_temp.month('old', '2030-06-01Z', 9);
select is(pg_temp.settle('2030-07-06 00:00:01Z'), 0::bigint, 'of a month that ended over 35 days before nothing is granted');
select pg_temp.month('just', '2030-06-01Z', 5, 0, 'sub_2');
select is(pg_temp.settle('2030-07-05 23:59:59Z'), 14::bigint, 'of one of 35 days it is');
select pg_temp.month('back', '2030-06-01Z', -14, 0, 'sub_2');
select is(pg_temp.settle('2030-07-06 00:00:01Z'), 14::bigint, 'after those nothing is taken back either');

select * from finish();
rollback;
