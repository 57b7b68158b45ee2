begin;
select plan(5);

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

insert into private.credit_months
select tests.tenant_id('acme'), 'year', m.month_start, m.month_end, 'sub_1', m.credits, 0
from private.months_of_line('2030-01-31Z', '2031-01-31Z', 'year', 350, false) m;
select pg_temp.settle('2030-01-31Z'); -- paid for
select is((select balance from private.credit_accounts), 350::bigint, 'the first month at once');
create temp table settled as
select d as day, pg_temp.settle(d) as balance from generate_series(timestamptz '2030-02-01Z', '2031-02-10Z', '1 day') d;
select results_eq(
  $$ select distinct balance from settled where day < '2031-01-31Z' $$, 'values (350::bigint)', 'never more than a month at a time'
);
select results_eq(
  $$ select to_char(effective_at at time zone 'UTC', 'YYYY-MM-DD') from entries where kind = 'grant' $$,
  $$ values ('2030-01-31'), ('2030-02-28'), ('2030-03-31'), ('2030-04-30'), ('2030-05-31'), ('2030-06-30'), ('2030-07-31'), ('2030-08-31'),
       ('2030-09-30'), ('2030-10-31'), ('2030-11-30'), ('2030-12-31') $$,
  'twelve times, from month end to month end'
);
select is((select balance from settled order by day desc limit 1), 0::bigint, 'and nothing after');
select is((select due_at from private.credit_accounts), 'infinity', 'which is the end of it');

select * from finish();
rollback;
