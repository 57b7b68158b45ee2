begin;
select plan(5);

select tests.create_tenant('acme', 'free');
create function pg_temp.line(p_id text, p_end timestamptz, p_credits numeric) returns void language sql as $$
  insert into private.credit_months (tenant_id, stripe_line_id, month_start, month_end, stripe_subscription_id, credits, rollover_months)
  values (tests.tenant_id('acme'), p_id, now() - interval '1 day', p_end, 'sub_1', p_credits, 0);
  select private.settle_tenant_credits(tests.tenant_id('acme'))
$$;

select pg_temp.line('month', now() + interval '29 days', 300);
select is((select balance from debit_credits(tests.tenant_id('acme'), 300, 'report')), 0::bigint, 'a month is spent');
-- Each change of the interval pays the month back and begins another.
select pg_temp.line('refund', now() + interval '29 days', -290), pg_temp.line('year', now() + interval '30 days', 350);
select is((select get_credit_balance(tests.tenant_id('acme'))), 60::bigint, 'what was spent of a refund is withheld from another month');
select debit_credits(tests.tenant_id('acme'), 60, 'report');
select pg_temp.line('back', now() + interval '30 days', -345), pg_temp.line('month2', now() + interval '31 days', 300);
select is((select get_credit_balance(tests.tenant_id('acme'))), 0::bigint, 'however often');
select is((select sum(l.amount) filter (where l.kind = 'debit') from public.credit_ledger l), -360::numeric, 'so nobody spends more than was paid for');
select pg_temp.line('month3', now() + interval '32 days', 300);
select is((select get_credit_balance(tests.tenant_id('acme'))), 255::bigint, 'once it is made up for, a month is whole again');

select * from finish();
rollback;
