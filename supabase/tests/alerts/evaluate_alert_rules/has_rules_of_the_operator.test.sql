begin;
select plan(4);

select results_eq(
  'select type, threshold, enabled from public.alert_rules where tenant_id is null order by type, threshold',
  $$ values ('checkout_burst', null::numeric, true), ('cost_spike', null, false), ('critical_audit_event', null, true), ('database_connections', 90, true),
       ('database_connections', 100, true), ('overage_detected', null, false), ('payment_failed', null, false), ('payment_failure_rate', null, true),
       ('quota_denial_rate', null, true), ('quota_denied_tenants', null, true), ('rate_limited_tenants', null, true), ('schedule_failed', null, true),
       ('stripe_api_errors', null, true), ('stripe_event_unapplied', null, true), ('system_error', null, true), ('unauthorized_admin_access', null, true),
       ('usage_anomaly', null, false), ('usage_threshold', null, false), ('webhook_failure_rate', null, true) $$,
  'the operator watches the platform, and tenants where it wishes to'
);
select results_eq(
  $$ select type, is_of_tenants, threshold, critical_threshold, window_minutes, severity::text, action_required from public.alert_rule_types order by type $$,
  $$ values ('checkout_burst', false, 10::numeric, null::numeric, 1, 'critical', true), ('cost_spike', true, 150, null, 1440, 'high', false),
       ('critical_audit_event', false, 0, null, 60, 'critical', true), ('database_connections', false, 90, null, 5, 'critical', true),
       ('execution_failure', true, 5, null, 60, 'high', false), ('overage_detected', true, 0, null, 1440, 'high', false), ('payment_failed', true, 0, null, 1440, 'critical', true),
       ('payment_failure_rate', false, 10, null, 1440, 'critical', true), ('quota_denial_rate', false, 5, null, 60, 'high', false),
       ('quota_denied_tenants', false, 20, null, 1440, 'high', false), ('quota_warning', true, 80, null, 1440, 'medium', false), ('rate_limit_breach', true, 0, null, 60, 'medium', false),
       ('rate_limited_tenants', false, 1, null, 60, 'high', false), ('schedule_failed', false, 0, null, 60, 'high', true), ('stripe_api_errors', false, 5, null, 60, 'high', false),
       ('stripe_event_unapplied', false, 5, null, 5, 'critical', true), ('system_error', false, 0, null, 5, 'critical', true),
       ('unauthorized_admin_access', false, 0, null, 60, 'high', true), ('usage_anomaly', true, 2, null, 60, 'high', false), ('usage_threshold', true, 80, 95, 1440, 'medium', false),
       ('webhook_failure_rate', false, 5, null, 10, 'critical', true) $$,
  'with the defaults of each type'
);
-- Of which a rule says what it has otherwise.
delete from public.alert_rules;
insert into public.alert_rules (name, type, threshold, window_minutes, severity) values
  ('a', 'usage_threshold', null, null, null), ('b', 'usage_threshold', 95, 5, null), ('c', 'usage_threshold', 94, null, null), ('d', 'usage_threshold', null, null, 'low'),
  ('e', 'quota_warning', 99, null, null);
insert into public.alert_rules (name, type, enabled) values ('off', 'quota_warning', false);
select results_eq(
  'select name, threshold, severity::text, window_minutes, "window" from private.rule_steps order by name, threshold',
  $$ values ('a', 80::numeric, 'medium', 1440, interval '1 day'), ('a', 95, 'critical', 1440, '1 day'), ('b', 95, 'critical', 5, '5 minutes'), ('c', 94, 'medium', 1440, '1 day'),
       ('d', 80, 'low', 1440, '1 day'), ('d', 95, 'low', 1440, '1 day'), ('e', 99, 'medium', 1440, '1 day') $$,
  'a rule without a threshold has the steps of its type'
);
select is((select bool_and("window" = make_interval(mins => window_minutes)) from private.rule_steps), true, 'its window in minutes');

select * from finish();
rollback;
