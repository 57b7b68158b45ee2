begin;
select plan(6);

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

create function pg_temp.subscribe(p_tenant text, p_id text, p_ended_at timestamptz) returns void language sql as $$
  insert into public.subscriptions (
    tenant_id, stripe_subscription_id, stripe_customer_id, stripe_item_id, price_id, status, current_period_start, current_period_end,
    cancel_at_period_end, ended_at, entitled_until, created_at
  ) values (
    tests.tenant_id(p_tenant), p_id, 'cus_1', 'si_1', 'startup_annual', 'active', '2030-01-01Z', '2031-01-01Z', false, p_ended_at,
    '2030-01-01Z', '2030-01-01Z'
  )
$$;
select tests.create_tenant('rival', 'free');
select pg_temp.subscribe('acme', 'sub_1', '2030-04-01 00:00:00.000001Z');
select pg_temp.subscribe('acme', 'sub_2', null);
select pg_temp.subscribe('rival', 'sub_3', '2029-01-01Z');

select pg_temp.month('march', '2030-05-01Z', 300);
select is(pg_temp.settle('2030-04-10Z'), 300::bigint, 'a month that began before the subscription ended is granted');
select pg_temp.month('april', '2030-06-01Z', 300);
update public.subscriptions set ended_at = '2030-05-01Z' where stripe_subscription_id = 'sub_1';
select is(pg_temp.settle('2030-05-10Z'), 0::bigint, 'one that begins when it ends is not');
update public.subscriptions set ended_at = '2030-05-01 00:00:00.000001Z' where stripe_subscription_id = 'sub_1';
select is(pg_temp.settle('2030-05-10Z'), 300::bigint, 'one of which a moment passed is');
update public.subscriptions set ended_at = '2030-04-01Z' where stripe_subscription_id = 'sub_1';
select is(pg_temp.settle('2030-05-11Z'), 300::bigint, 'what was granted before Stripe told of the end stays');
select pg_temp.month('running', '2030-06-02Z', 5, 0, 'sub_2');
select is(pg_temp.settle('2030-05-11Z'), 305::bigint, 'another subscription of the tenant goes on');
select pg_temp.month('foreign', '2030-06-02Z', 5, 0, 'sub_3');
select is(pg_temp.settle('2030-05-11Z'), 310::bigint, 'and that of another tenant ends nothing');

select * from finish();
rollback;
