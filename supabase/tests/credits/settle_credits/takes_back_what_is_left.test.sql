begin;
select plan(14);

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

create function pg_temp.spend(p_amount int) returns text language sql as $$
  select (private.book_credits(
    tests.tenant_id('acme'), 'debit', jsonb_build_object((select max(id) from private.credit_grants), -p_amount), 'spent', '2030-04-02Z'
  ) > 0)::text
$$;

select pg_temp.month('first', '2030-05-01Z', 300);
select pg_temp.settle('2030-04-01Z');
select pg_temp.month('part', '2030-05-01Z', -100);
select is(pg_temp.settle('2030-04-02Z'), 200::bigint, 'what is refunded is taken back');
select results_eq(
  'select kind, amount, balance, effective_at from entries offset 1', $$ values ('correction', -100::bigint, 200::bigint, '2030-04-02Z'::timestamptz) $$,
  'as a correction'
);
select results_eq('select granted, remaining from private.credit_grants', 'values (200::bigint, 200::bigint)', 'so the month has less');
select pg_temp.spend(150);
select pg_temp.month('rest', '2030-05-01Z', -200);
select is(pg_temp.settle('2030-04-03Z'), 0::bigint, 'but at most what is left');
select is((select amount from entries offset 3), -50::bigint, 'what was spent is not');
select results_eq('select granted, remaining from private.credit_grants', 'values (150::bigint, 0::bigint)', 'and stays granted');
select is(pg_temp.settle('2030-04-04Z'), 0::bigint, 'once');
select pg_temp.month('again', '2030-05-01Z', 160);
select is(pg_temp.settle('2030-04-05Z'), 10::bigint, 'it is set against what comes later');

select pg_temp.month('june', '2030-07-01Z', -5);
select is(pg_temp.settle('2030-06-01Z'), 0::bigint, 'a month of refunds alone grants nothing');
select pg_temp.month('july', '2030-07-01Z', 25);
select is(pg_temp.settle('2030-06-02Z'), 20::bigint, 'and takes its part of what comes later');

select pg_temp.month('august', '2030-08-02Z', 300);
select pg_temp.settle('2030-07-02Z');
select pg_temp.month('august back', '2030-08-02Z', -400);
select is(pg_temp.settle('2030-07-03Z'), 0::bigint, 'no more is taken back than was granted');
select pg_temp.month('september', '2030-09-02Z', 50);
select is(pg_temp.settle('2030-08-02Z'), 50::bigint, 'and not of another month');
select pg_temp.month('september back', '2030-09-02Z', -50);
select pg_temp.settle('2030-09-02Z');
select is((select string_agg(kind, ' ') from (select kind from entries offset 11) e), 'expiry', 'what has expired is not taken back');
select is((select balance from private.credit_accounts), 0::bigint, 'again');

select * from finish();
rollback;
