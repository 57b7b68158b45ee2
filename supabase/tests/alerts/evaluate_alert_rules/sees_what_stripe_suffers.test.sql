begin;
select plan(34);

select tests.create_tenant('acme', 'free');
create function pg_temp.watch(p_type text, p_threshold numeric default null, p_window int default null) returns void language sql as $$
  delete from public.alert_rules;
  delete from public.alerts;
  insert into public.alert_rules (name, type, threshold, window_minutes) values ('r', p_type, p_threshold, p_window);
$$;
create function pg_temp.opened(p_after interval default '0') returns int language sql as $$ select opened from evaluate_alert_rules(now() + p_after) $$;
create function pg_temp.seen() returns text language sql as $$
  select concat_ws(' ', severity, action_required, title || ':', message, data - 'threshold' - 'window_minutes') from public.alerts
$$;
create function pg_temp.event(p_count int, p_status text default 'processed', p_ago interval default '1 minute', p_type text default 'invoice.paid', p_duplicates int default 0)
returns void language sql as $$
  insert into public.stripe_events (id, type, is_final, occurred_at, payload, status, received_at, duplicates)
  select 'evt_' || gen_random_uuid(), p_type, false, now() - p_ago, '{}', p_status::public.stripe_event_status, now() - p_ago, p_duplicates
  from generate_series(1, p_count)
$$;

-- Webhooks.
select pg_temp.watch('webhook_failure_rate');
select is(pg_temp.opened(), 0, 'without webhooks none fails');
select pg_temp.event(19), pg_temp.event(1, 'failed'), pg_temp.event(9, 'failed', '10 minutes'), pg_temp.event(9, 'failed', p_type => 'meterbase.reconciled');
select is(pg_temp.opened(), 0, '5 % of what came in ten minutes is not more than 5 %; what Meterbase tells itself is none of it');
delete from public.stripe_events where id = (select id from public.stripe_events where status = 'processed' limit 1);
select is(pg_temp.opened(), 1, '1 of 19 is');
select is(pg_temp.seen(), 'critical t Webhooks Fail: 1 of 19 webhooks failed in the last 10 minutes. {"failed": 1, "received": 19}', 'which is critical');
update public.stripe_events set duplicates = 1 where id = (select id from public.stripe_events where status = 'processed' limit 1);
select is((select resolved from evaluate_alert_rules()), 1, 'what came again came as well');
select pg_temp.watch('webhook_failure_rate', 60, 11);
select is(pg_temp.opened(), 0, '10 of 29 are not more than 60 %');
select pg_temp.watch('webhook_failure_rate', 30, 11);
select is(pg_temp.opened(), 1, 'but more than 30 %, by the rule''s own window');

-- What is not applied.
delete from public.stripe_events;
select pg_temp.watch('stripe_event_unapplied');
select pg_temp.event(1, 'failed', '5 minutes'), pg_temp.event(1, 'processed', '1 day');
select is(pg_temp.opened(), 0, 'an event that is not applied for five minutes may be yet');
select pg_temp.event(12, 'failed', '5 minutes 1 second');
select is(pg_temp.opened(), 1, 'for longer, it is seen');
select is(
  (select (severity, action_required, title, message, data -> 'events', jsonb_array_length(data -> 'event_ids'))::text from public.alerts),
  '(critical,t,"Stripe Events Not Applied","Not applied for more than 5 minutes: 12.",12,10)', 'with the first ten'
);
update public.stripe_events set received_at = received_at - interval '1 minute' where id in (select id from public.stripe_events where status = 'failed' and received_at < now() - interval '5 minutes' limit 3);
select pg_temp.opened('1 microsecond');
select is((select (status, data -> 'events')::text from public.alerts), '(open,13)', 'at any time');
select ok(
  (select (select array_agg(e.value) from jsonb_array_elements_text(data -> 'event_ids') e)
   @> (select array_agg(id) from public.stripe_events where status = 'failed' and received_at < now() - interval '6 minutes') from public.alerts), 'the oldest first'
);
update public.stripe_events set status = 'processed';
select is((select resolved from evaluate_alert_rules()), 1, 'once they are applied, it is over');
select pg_temp.event(1, 'failed', '10 minutes');
select pg_temp.watch('stripe_event_unapplied', 10);
select is(pg_temp.opened(), 0, 'by the minutes');
select is(pg_temp.opened('1 microsecond'), 1, 'that the rule says');

-- Calls of its API.
select pg_temp.watch('stripe_api_errors');
select is(pg_temp.opened(), 0, 'without calls none fails');
select record_stripe_calls(100, 5, 'timeout');
insert into private.stripe_calls (minute, failed) values (now() - interval '60 minutes', 9);
select is(pg_temp.opened(), 0, 'five that failed within the hour are too few');
select record_stripe_calls(0, 1, 'timeout');
select is(pg_temp.opened(), 1, 'six are seen');
select is(pg_temp.seen(), 'high f Stripe API Errors: 6 calls of Stripe''s API failed in the last 60 minutes. {"failed": 6}', 'with their number');
select pg_temp.watch('stripe_api_errors', 14, 61);
select is(pg_temp.opened(), 1, 'or more in a longer window');
select pg_temp.watch('stripe_api_errors', 15, 61);
select is(pg_temp.opened(), 0, 'than the rule says');

-- Payments.
select pg_temp.watch('payment_failure_rate');
create function pg_temp.pay(p_count int, p_status text, p_ago interval default '1 hour') returns void language sql as $$
  insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
  select tests.tenant_id('acme'), gen_random_uuid(), 1, p_status::public.payment_status, 'p', 1, 'usd', now() - p_ago from generate_series(1, p_count)
$$;
select is(pg_temp.opened(), 0, 'without payments none fails');
select pg_temp.pay(4, 'failed');
select is(pg_temp.opened(), 0, 'of four payments any share is few');
delete from public.payments;
select pg_temp.pay(9, 'succeeded'), pg_temp.pay(1, 'failed'), pg_temp.pay(9, 'failed', '24 hours'), pg_temp.pay(9, 'failed', '-1 second');
select is(pg_temp.opened(), 0, '10 % of a day''s payments is not more than 10 %, nor are those of a day ago, or to come');
select pg_temp.pay(1, 'failed', '0');
select is(pg_temp.opened(), 1, '2 of 11 are');
select is(pg_temp.seen(), 'critical t Payments Fail: 2 of 11 payments failed in the last 1440 minutes. {"failed": 2, "payments": 11}', 'which is critical');
select pg_temp.watch('payment_failure_rate', 18.2);
select is(pg_temp.opened(), 0, 'by the rule''s own threshold');
select pg_temp.watch('payment_failure_rate', 18.1);
select is(pg_temp.opened(), 1, 'to a tenth of a percent');
select pg_temp.watch('payment_failure_rate', 55, 1441);
select is(pg_temp.opened(), 0, '11 of 20');
select pg_temp.watch('payment_failure_rate', 54.9, 1441);
select is(pg_temp.opened(), 1, 'and by its window');

-- Disabled, nobody sees any of it.
update public.alert_rules set enabled = false;
delete from public.alerts;
select is(pg_temp.opened(), 0, 'a rule that is disabled sees nothing');
select is((select count(*) from public.alert_rule_types y where not y.is_of_tenants and not exists (
  select from unnest(array['system_error', 'webhook_failure_rate', 'stripe_event_unapplied', 'stripe_api_errors', 'payment_failure_rate', 'quota_denial_rate', 'quota_denied_tenants',
    'rate_limited_tenants', 'checkout_burst', 'unauthorized_admin_access', 'critical_audit_event', 'database_connections', 'schedule_failed']) t where t = y.type
)), 0::bigint, 'there are no more types of the operator''s');
delete from public.alert_rules;
insert into public.alert_rules (name, type) select type, type from public.alert_rule_types;
select is(tests.error_of('select evaluate_alert_rules()'), null, 'all can be asked at once');
select is(tests.error_of('select evaluate_alert_rules(now() + interval ''400 days'')'), null, 'at any time');

select * from finish();
rollback;
