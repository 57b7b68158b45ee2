begin;
select plan(30);

select tests.create_tenant('acme', 'trial');
select record_usage(tests.tenant_id('acme'),
  '[{"event_id": "a", "event_type": "chat_message", "metadata": {"session_id": "s"}}]');
select aggregate_usage_metrics();
select record_usage(tests.tenant_id('acme'), '[{"event_id": "b", "event_type": "search"}]');
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
create temp table calls as select * from unnest(array[
  'check_tenant_quota(tests.tenant_id(''acme''), ''tokens'')', 'get_quota_status(tests.tenant_id(''acme''))',
  'get_tenant_usage(tests.tenant_id(''acme''), ''-infinity'', ''infinity'')', 'get_today_usage(tests.tenant_id(''acme''))',
  'get_tenant_events(tests.tenant_id(''acme''))', 'get_top_consumers(''tokens'')', 'get_multi_tenant_stats()',
  'get_tenants_exceeding_quota()', 'get_quota_checks(tests.tenant_id(''acme''))',
  'get_rate_limit_usage(tests.tenant_id(''acme''))', 'explain_decision((select id from public.quota_decisions))',
  'get_unknown_stripe_events(array[''evt_1''])', 'get_audit_events()', 'get_members(tests.tenant_id(''acme''))', 'verify_audit_chain(tests.tenant_id(''acme''))',
  'generate_audit_report(tests.tenant_id(''acme''), ''2020-01-01'', ''2099-01-01'')',
  'get_subscription(tests.tenant_id(''acme''))', 'get_invoices(tests.tenant_id(''acme''))',
  'get_billing_account(tests.tenant_id(''acme''))', 'check_plan_change(tests.tenant_id(''acme''), ''enterprise_monthly'')',
  'get_webhook_counts()', 'get_billing_kpis(''-infinity'', ''infinity'')', 'get_credit_balance(tests.tenant_id(''acme''))',
  'get_billing_health()', 'get_billing_dashboard_metrics(tests.tenant_id(''acme''))', 'calculate_billing_health_score(tests.tenant_id(''acme''))',
  'detect_usage_anomalies()', 'generate_usage_report(tests.tenant_id(''acme''), now() - interval ''40 days'', now())'
]) call;

select is_empty(
  $$ select proname from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^(get|check|explain|verify|generate|calculate|detect)_'
     and provolatile <> 's' $$,
  'what only reads says so'
);
select is_empty(
  $$ select proname from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^(get|check|explain|verify|generate|calculate|detect)_'
       and not exists (select from calls where call ~ ('^' || proname || '\(')) $$,
  'all of these'
);
set local transaction_read_only = on;
select is(tests.error_of('select * from ' || call), null,
  split_part(call, '(', 1) || ' may read where nothing may be written') from calls;

select * from finish();
rollback;
