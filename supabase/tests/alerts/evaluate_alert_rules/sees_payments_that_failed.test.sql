begin;
select plan(12);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'pay', 'payment_failed');
create function pg_temp.invoice(p_id text, p_status text default 'open', p_failed int default 1, p_tenant text default 'acme') returns void language sql as $$
  insert into public.invoices (
    tenant_id, stripe_invoice_id, number, status, currency, total, amount_due, amount_paid, amount_remaining, attempt_count, period_start, period_end,
    hosted_invoice_url, created_at
  ) values (tests.tenant_id(p_tenant), p_id, 'N-' || p_id, p_status, 'usd', 4900, 4900, 0, 4900, p_failed, now(), now(), 'https://pay.example/' || p_id, now());
  insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
  select tests.tenant_id(p_tenant), p_id, i, 'failed', p_id || i, 4900, 'usd', now() - interval '100 days' + i * interval '1 day'
  from generate_series(1, p_failed) i;
$$;
create function pg_temp.opened() returns int language sql as $$ select opened from evaluate_alert_rules() $$;

select pg_temp.invoice('in_new', p_failed => 0), pg_temp.invoice('in_void', 'void'), pg_temp.invoice('in_paid', 'paid'),
  pg_temp.invoice('in_globex', p_tenant => 'globex');
insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
values (tests.tenant_id('acme'), 'in_new', 1, 'succeeded', 'p', 1, 'usd', now());
select is(pg_temp.opened(), 0, 'an open invoice of which no payment failed is not seen, nor one that is not open, nor another tenant''s');
select pg_temp.invoice('in_a');
select is(pg_temp.opened(), 1, 'one failed payment of an open invoice is, however long ago');
select results_eq(
  $$ select tenant_id, severity::text, action_required, title, message, data - 'tenant_id' - 'tenant_name' - 'window_minutes' from public.alerts $$,
  $$ values (tests.tenant_id('acme'), 'critical', true, 'Payment Failed', 'Monthly subscription payment failed. Please update payment method.', jsonb_build_object(
       'threshold', 0, 'stripe_invoice_id', 'in_a', 'number', 'N-in_a', 'amount', 4900, 'currency', 'usd', 'attempts', 1, 'failed_at', now() - interval '99 days',
       'hosted_invoice_url', 'https://pay.example/in_a'
     )) $$,
  'with what is needed to pay'
);
insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
values (tests.tenant_id('acme'), 'in_a', 2, 'failed', 'p2', 4900, 'usd', now());
select is(pg_temp.opened(), 0, 'another attempt is the same alert');
select is((select (occurrences, data -> 'attempts')::text from public.alerts), '(2,2)', 'seen again');
select pg_temp.invoice('in_b');
select is(pg_temp.opened(), 1, 'another invoice is another');
update public.invoices set status = 'paid' where stripe_invoice_id = 'in_a';
select is((select resolved from evaluate_alert_rules()), 1, 'once it is paid, it is over');
select is((select status::text from public.alerts where data ->> 'stripe_invoice_id' = 'in_b'), 'open', 'the other is not');

delete from public.alert_rules where tenant_id is not null;
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'pay', 'payment_failed', 2);
select pg_temp.invoice('in_two', p_failed => 2);
select is(pg_temp.opened(), 0, 'two are not more than two');
select pg_temp.invoice('in_three', p_failed => 3);
select is(pg_temp.opened(), 1, 'three are');
select is((select data ->> 'stripe_invoice_id' from public.alerts where rule_id in (select id from public.alert_rules)), 'in_three', 'of one invoice');
select is_empty($$ select from public.alerts where tenant_id = tests.tenant_id('globex') $$, 'globex has no rule');

select * from finish();
rollback;
