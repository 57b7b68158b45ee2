-- Schedules: every job of pg_cron. A job calls one function and does nothing else; times are UTC.

set lock_timeout = '5s';
set statement_timeout = '60s';

do $$
begin
  if to_regclass('cron.job') is null then
    create extension pg_cron with schema pg_catalog;
  end if;
  if to_regnamespace('net') is null and exists (select from pg_catalog.pg_available_extensions where name = 'pg_net') then
    create extension pg_net;
  end if;
end
$$;

-- Calls an edge function, with the URL of the functions and the secret key that the project keeps in its Vault; where it
-- has neither, nothing is called. pg_net sends nothing else until it has its answer.
create function private.call_function(p_path text, p_body jsonb default '{}') returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_url text;
  v_key text;
begin
  if to_regclass('vault.decrypted_secrets') is null or to_regnamespace('net') is null then
    return;
  end if;
  execute 'select decrypted_secret from vault.decrypted_secrets where name = $1' into v_url using 'meterbase_functions_url';
  execute 'select decrypted_secret from vault.decrypted_secrets where name = $1' into v_key using 'meterbase_secret_key';
  if v_url is not null and v_key is not null then
    execute 'select net.http_post(url => $1, body => $2, headers => $3, timeout_milliseconds => 120000)'
      using v_url || p_path, p_body, jsonb_build_object('content-type', 'application/json', 'apikey', v_key);
  end if;
end
$$;
revoke all on function private.call_function(text, jsonb) from public, anon, authenticated, service_role;

-- Lets deliver-alerts go on in the background: it answers at once.
create function private.wake_delivery() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.call_function('/deliver-alerts', '{"background": true}');
end
$$;
revoke all on function private.wake_delivery() from public, anon, authenticated, service_role;

-- Every so many seconds where pg_cron knows seconds (from 1.5 on), else every minute.
create function private.every_seconds(p_seconds int) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when exists (
      select from pg_catalog.pg_extension e
      where e.extname = 'pg_cron' and string_to_array(substring(e.extversion from '^\d+\.\d+'), '.')::int[] < array[1, 5]
    ) then '* * * * *'
    else p_seconds || ' seconds'
  end;
end
$$;
revoke all on function private.every_seconds(int) from public, anon, authenticated, service_role;

-- pg_cron remembers every run and never forgets one.
create function private.prune_cron_history() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from cron.job_run_details where coalesce(end_time, start_time, now()) < now() - interval '7 days';
end
$$;
revoke all on function private.prune_cron_history() from public, anon, authenticated, service_role;

select cron.schedule('meterbase_prune_cron_history', '15 3 * * *', 'select private.prune_cron_history()');
select cron.schedule('meterbase_usage_partitions', '5 0 * * *', 'select private.ensure_usage_partitions()');
select cron.schedule('meterbase_audit_partitions', '10 0 * * *', 'select private.ensure_audit_partitions()');
select cron.schedule('meterbase_aggregate_usage', '* * * * *', 'select private.aggregate_usage_metrics()');
select cron.schedule('meterbase_expire_reservations', '* * * * *', 'select private.expire_reservations()');
select cron.schedule('meterbase_fold_quota_denials', '* * * * *', 'select private.fold_quota_denials()');
select cron.schedule('meterbase_fold_api_key_uses', '* * * * *', 'select private.fold_api_key_uses()');
select cron.schedule('meterbase_seal_audit_events', '* * * * *', 'select private.seal_audit_events()');
select cron.schedule('meterbase_cleanup_audit_events', '35 3 * * *', 'select private.cleanup_old_audit_events()');
select cron.schedule('meterbase_expire_trials', '5 * * * *', 'select private.expire_trials()');
select cron.schedule('meterbase_expire_subscriptions', '* * * * *', 'select private.expire_subscriptions()');
select cron.schedule('meterbase_settle_credits', '* * * * *', 'select private.settle_due_credits()');
select cron.schedule('meterbase_retry_stripe_events', '* * * * *', 'select private.retry_stripe_events()');
select cron.schedule('meterbase_cleanup_stripe_events', '45 3 * * *', 'select private.cleanup_old_stripe_events()');
select cron.schedule('meterbase_recover_stripe_events', '*/10 * * * *', 'select private.call_function(''/billing/recover'')');
select cron.schedule('meterbase_reconcile_subscriptions', '50 4 * * *', 'select private.call_function(''/billing/reconcile'')');
select cron.schedule('meterbase_snapshot_gauges', '55 * * * *', 'select private.snapshot_gauges()');
select cron.schedule('meterbase_prune_usage_event_keys', '20 * * * *', 'select private.prune_usage_event_keys()');
select cron.schedule('meterbase_cleanup_usage_events', '25 3 * * *', 'select private.cleanup_old_realtime_events()');
select cron.schedule('meterbase_prune_quota', '40 * * * *', 'select private.prune_quota()');
select cron.schedule('meterbase_evaluate_alerts', '* * * * *', 'select private.evaluate_alert_rules()');
select cron.schedule('meterbase_resolve_stale_alerts', '30 * * * *', 'select private.auto_resolve_stale_alerts()');
select cron.schedule('meterbase_deliver_alerts', private.every_seconds(30), 'select private.wake_delivery()');
select cron.schedule('meterbase_sample_health', private.every_seconds(30), 'select private.sample_health()');
select cron.schedule('meterbase_cleanup_alerts', '55 3 * * *', 'select private.cleanup_old_alerts()');
