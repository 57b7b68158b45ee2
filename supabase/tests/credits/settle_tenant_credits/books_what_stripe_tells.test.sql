begin;
select plan(17);

set local timezone = 'UTC';
select tests.create_tenant('acme', 'free');
select tests.set_clock('acme');
create function pg_temp.at(p_after interval) returns bigint language sql as $$ select extract(epoch from tests.noon() + p_after)::bigint $$;
create function pg_temp.invoice(
  p_event text, p_type text, p_status text, p_lines jsonb, p_id text default 'in_1'
) returns text language sql as $$
  select status || coalesce(' ' || error, '') from ingest_stripe_event(jsonb_build_object(
    'id', p_event, 'type', p_type, 'created', pg_temp.at('0'), 'data', jsonb_build_object('object', jsonb_build_object(
      'id', p_id, 'object', 'invoice', 'status', p_status, 'customer', 'cus_1', 'currency', 'usd', 'total', 4900, 'amount_due', 4900,
      'amount_paid', 4900, 'amount_remaining', 0, 'attempt_count', 1, 'created', pg_temp.at('0'), 'period_start', pg_temp.at('0'),
      'period_end', pg_temp.at('0'), 'parent', jsonb_build_object('subscription_details', jsonb_build_object(
        'subscription', 'sub_1', 'metadata', jsonb_build_object('tenant_id', tests.tenant_id('acme')))),
      'lines', jsonb_build_object('data', p_lines)
    ))
  ))
$$;
create function pg_temp.line(p_id text, p_price text, p_amount int, p_start interval, p_end interval) returns jsonb language sql as $$
  select jsonb_build_object(
    'id', p_id, 'amount', p_amount, 'pricing', jsonb_build_object('price_details', jsonb_build_object('price', p_price)),
    'period', jsonb_build_object('start', pg_temp.at(p_start), 'end', pg_temp.at(p_end))
  )
$$;
create function pg_temp.cancelled(p_event text, p_ended interval) returns text language sql as $$
  select status || coalesce(' ' || error, '') from ingest_stripe_event(jsonb_build_object(
    'id', p_event, 'type', 'customer.subscription.deleted', 'created', pg_temp.at(p_ended), 'data', jsonb_build_object(
      'object', jsonb_build_object(
        'id', 'sub_1', 'object', 'subscription', 'status', 'canceled', 'customer', 'cus_1', 'created', pg_temp.at('0'),
        'ended_at', pg_temp.at(p_ended), 'current_period_start', pg_temp.at('0'), 'current_period_end', pg_temp.at('365 days'),
        'items', '{"data": [{"id": "si_1", "price": {"id": "price_enterprise_annual"}}]}'::jsonb
      )
    )
  ))
$$;
create function pg_temp.balance() returns bigint language sql as $$ select get_credit_balance(tests.tenant_id('acme')) $$;

select private.settle_tenant_credits(tests.tenant_id('acme'));
select is_empty('select from private.credit_accounts', 'a tenant without credits needs no account');
create temp table lines as select jsonb_build_array(
  pg_temp.line('il_1', 'price_startup_monthly', 4900, '0', '30 days'), pg_temp.line('il_2', 'price_enterprise_monthly', 0, '0', '30 days')
) as months;
select is(pg_temp.invoice('evt_open', 'invoice.finalized', 'open', (select months from lines)), 'processed', 'an open invoice');
select is(pg_temp.balance(), 0::bigint, 'grants nothing');
select is_empty('select from private.credit_months', 'nor anything later');
select is(pg_temp.invoice('evt_paid', 'invoice.paid', 'paid', (select months from lines)), 'processed', 'a paid one');
select is(pg_temp.balance(), 300::bigint, 'grants what was paid for');
select pg_temp.invoice('evt_again', 'invoice.payment_succeeded', 'paid', (select months from lines));
select pg_temp.invoice('evt_paid', 'invoice.paid', 'paid', (select months from lines));
select is(pg_temp.balance(), 300::bigint, 'once, however often Stripe tells');
select is(
  (select (effective_at - tests.noon()) between '0' and '5 minutes' from public.credit_ledger), true, 'at the time of the tenant''s clock'
);

select pg_temp.invoice('evt_year', 'invoice.paid', 'paid', jsonb_build_array(
  pg_temp.line('il_3', 'price_enterprise_annual', 149900, '1 day', '1 day 1 year')
), 'in_2');
select is(pg_temp.balance(), 300::bigint, 'what was paid for ahead waits for its month');
select tests.set_clock('acme', '1 day');
select is(private.settle_due_credits(), 1, 'and is granted by the schedule');
select is(pg_temp.balance(), 1500::bigint, 'of a year a month');
select tests.set_clock('acme', '1 day 1 month');
select is(debit_credits.balance, 1199::bigint, 'or by whoever needs it first')
from debit_credits(tests.tenant_id('acme'), 1, 'work');
select tests.set_clock('acme', '1 day 2 months');
select is(pg_temp.cancelled('evt_end', '1 month 11 days'), 'processed', 'a subscription that is said to have ended');
select is(pg_temp.balance(), 0::bigint, 'grants no month that would have begun after');
select is((select kind::text from public.credit_ledger order by id desc limit 1), 'expiry', 'its event books what is due, too');
select tests.set_clock('acme', '1 day 3 months');
select private.settle_due_credits();
select is(pg_temp.balance(), 0::bigint, 'nor any other');
select is(
  (select string_agg(amount::text, ' ' order by id) from public.credit_ledger where kind = 'grant'), '300 1200 1200', 'so these were all'
);

select * from finish();
rollback;
