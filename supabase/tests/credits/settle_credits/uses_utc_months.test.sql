begin;
select plan(3);

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

set local timezone = 'America/New_York';
select pg_temp.month('rolled', '2030-03-01Z', 300, 1);
select pg_temp.settle('2030-02-10Z');
select is(
  (select expires_at from private.credit_grants), '2030-04-01Z', 'credits roll over for months of UTC, whatever the session''s time zone'
);
select pg_temp.month('late', '2030-03-01Z', 5, 0, 'sub_2');
select pg_temp.settle('2030-03-05Z');
select is(
  (select expires_at from private.credit_grants where stripe_subscription_id = 'sub_2'), '2030-04-05Z', 'late ones are good for one of UTC'
);
select pg_temp.month('past', '2030-02-13 00:30Z', 7, 0, 'sub_3');
select is(pg_temp.settle('2030-03-20Z'), 312::bigint, 'and 35 days have 24 hours each');

select * from finish();
rollback;
