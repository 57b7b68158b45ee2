begin;
select plan(8);

create temp view executables as
select n.nspname, p.proname, r.rolname
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)
where n.nspname in ('public', 'private', 'meter') and has_function_privilege(r.rolname, p.oid, 'execute')
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e');

select is_empty(
  $$ select p.oid::regprocedure
     from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace, 'meter'::regnamespace) and a.grantee = 0 $$,
  'nothing is executable by everyone'
);
select set_eq(
  $$ select proname::text from executables where nspname = 'private' and rolname = 'anon' $$,
  array['admits', 'extend_reservation', 'release_reservation', 'settle_reservation', 'settle_reservations'],
  'anon executes only what an id authorises, and what a policy asks'
);
select set_eq(
  $$ select proname::text from executables where nspname = 'private' and rolname = 'authenticated' $$,
  array[
    'accept_invite', 'acknowledge_alert', 'admits', 'auto_resolve_stale_alerts', 'begin_checkout',
    'calculate_billing_health_score', 'cancel_trial', 'check_plan_change', 'check_tenant_quota',
    'clear_custom_quota', 'consume_quota', 'consume_quota_batch', 'consume_quota_batches', 'consume_quotas',
    'count_request', 'create_api_key', 'create_tenant', 'debit_credits', 'detect_usage_anomalies',
    'enter_admin_area', 'erase_audit_personal_data', 'explain_decision', 'extend_reservation', 'extend_trial',
    'generate_audit_report', 'generate_usage_report', 'get_audit_events', 'get_billing_account',
    'get_billing_dashboard_metrics', 'get_billing_health', 'get_billing_kpis', 'get_credit_balance', 'get_invoices',
    'get_members', 'get_multi_tenant_stats', 'get_quota_checks', 'get_quota_status', 'get_rate_limit_usage',
    'get_subscription', 'get_tenant_events', 'get_tenant_usage', 'get_tenants_exceeding_quota', 'get_today_usage',
    'get_top_consumers', 'get_webhook_counts', 'grant_credits', 'has_permission', 'invite_member',
    'is_platform_admin', 'leave_tenant', 'log_audit_event', 'reactivate_user', 'recompute_usage_metrics',
    'record_checkout_session', 'record_usage', 'reject_invite', 'release_reservation', 'remove_member',
    'replay_alert_notification', 'replay_stripe_event', 'reserve_quota', 'reset_quota_counter', 'resolve_alert',
    'resolve_audit_event', 'revoke_api_key', 'revoke_invite', 'rotate_channel_secret', 'set_custom_quota',
    'set_stripe_price', 'set_tenant_plan', 'set_test_clock', 'settle_reservation', 'settle_reservations',
    'suspend_user', 'tenant_ids_with', 'test_alert_channel', 'transfer_ownership', 'update_member_role',
    'verify_audit_chain'
  ],
  'a signed-in user executes what wrappers and policies call'
);
select set_eq(
  $$ select proname::text from executables where nspname = 'private' and rolname = 'service_role' $$,
  array[
    'acknowledge_alert', 'admits', 'aggregate_usage_metrics', 'authenticate_api_key', 'auto_resolve_stale_alerts',
    'begin_checkout', 'begin_stripe_recovery', 'calculate_billing_health_score', 'cancel_trial', 'check_plan_change',
    'check_tenant_quota', 'claim_alert_notifications', 'cleanup_old_audit_events', 'cleanup_old_realtime_events',
    'clear_custom_quota', 'complete_alert_notification', 'complete_alert_notifications', 'complete_stripe_recovery',
    'consume_quota', 'consume_quota_batch', 'consume_quota_batches', 'consume_quotas', 'count_request',
    'count_webhook_rejection', 'create_api_key', 'create_tenant', 'debit_credits', 'detect_usage_anomalies',
    'enter_admin_area', 'erase_audit_personal_data', 'evaluate_alert_rules', 'explain_decision',
    'extend_reservation', 'extend_trial', 'generate_audit_report', 'generate_usage_report', 'get_audit_events',
    'get_billing_account', 'get_billing_dashboard_metrics', 'get_billing_health', 'get_billing_kpis',
    'get_credit_balance', 'get_invoices', 'get_members', 'get_multi_tenant_stats', 'get_quota_checks',
    'get_quota_status', 'get_rate_limit_usage', 'get_subscription', 'get_tenant_events', 'get_tenant_usage',
    'get_tenants_exceeding_quota', 'get_today_usage', 'get_top_consumers', 'get_unknown_stripe_events',
    'get_webhook_counts', 'grant_credits', 'ingest_stripe_event', 'invite_member', 'log_audit_event',
    'reactivate_user', 'recompute_usage_metrics', 'reconcile_subscriptions', 'record_checkout_session',
    'record_stripe_calls', 'record_usage', 'register_operator_channels', 'release_reservation', 'remove_member',
    'replay_alert_notification', 'replay_stripe_event', 'reserve_quota', 'reset_quota_counter', 'resolve_alert',
    'resolve_audit_event', 'revoke_api_key', 'revoke_invite', 'rotate_channel_secret', 'set_custom_quota',
    'set_stripe_price', 'set_tenant_plan', 'set_test_clock', 'settle_reservation', 'settle_reservations',
    'suspend_user', 'test_alert_channel', 'transfer_ownership', 'update_member_role', 'verify_audit_chain'
  ],
  'the service role executes what wrappers call'
);
-- A project's default privileges give every new function of `public` to anon.
select set_eq(
  $$ select proname::text from executables where nspname = 'public' and rolname = 'anon' $$,
  array['extend_reservation', 'release_reservation', 'settle_reservation', 'settle_reservations'],
  'anon has no wrapper by default'
);
select set_eq(
  $$ select proname::text, rolname from executables where nspname = 'meter' $$,
  $$ values ('admits', 'anon'), ('admits', 'authenticated'), ('admits', 'service_role') $$,
  'only a migration attaches a meter'
);
select is_empty(
  $$ select w.proname, w.rolname from executables w
     where w.nspname <> 'private'
       and not exists (
         select from executables p where p.nspname = 'private' and p.proname = w.proname and p.rolname = w.rolname
       ) $$,
  'who may call a wrapper may call what it calls'
);
select is_empty(
  $$ select p.proname, p.rolname from executables p
     where p.nspname = 'private'
       and exists (select from pg_proc where pronamespace in ('public'::regnamespace, 'meter'::regnamespace) and proname = p.proname)
       and not exists (
         select from executables w where w.nspname <> 'private' and w.proname = p.proname and w.rolname = p.rolname
       ) $$,
  'and the other way round'
);

select * from finish();
rollback;
