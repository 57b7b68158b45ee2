begin;
select plan(24);

delete from public.alert_notifications;
delete from private.stripe_calls;
create function pg_temp.watch(p_type text, p_threshold numeric default null) returns void language sql as $$
  delete from public.alert_rules;
  delete from public.alerts;
  insert into public.alert_rules (name, type, threshold) values ('r', p_type, p_threshold);
$$;
create function pg_temp.opened() returns int language sql as $$ select opened from evaluate_alert_rules() $$;
create function pg_temp.ran(p_job text, p_run int, p_status text default 'succeeded', p_ago interval default '0') returns void language sql as $$
  insert into cron.job_run_details (jobid, runid, status, start_time) overriding system value
  select jobid, 900000 + p_run, p_status, now() - p_ago from cron.job where jobname = p_job
$$;
select pg_temp.ran('meterbase_prune_quota', 1);

select pg_temp.watch('system_error');
insert into public.alerts (type, severity, title, message, dedup_key) values ('checkout_burst', 'critical', 't', 'm', 'critical');
insert into public.alert_notifications (kind, next_attempt_at) values ('alert', now() - interval '30 minutes');
select is(pg_temp.opened(), 0, 'what is degraded is not out of order');
update public.alert_notifications set next_attempt_at = now() - interval '30 minutes 1 second';
select is(pg_temp.opened(), 1, 'what is unhealthy is');
select is(
  (select (severity, action_required, title, message, data #>> '{components,outbox,status}')::text from public.alerts where type = 'system_error'),
  '(critical,t,"Billing System Critical Error","Out of order: outbox. Billing operations may be impacted.",unhealthy)', 'by name'
);
select set_eq($$ select jsonb_object_keys(data -> 'components') from public.alerts where type = 'system_error' $$, array['outbox'], 'that alone');
select pg_temp.ran('meterbase_aggregate_usage', 2, 'failed');
select pg_temp.opened();
select is(
  (select message from public.alerts where type = 'system_error'), 'Out of order: outbox, schedules. Billing operations may be impacted.', 'more is the same alert'
);
select record_stripe_calls(0, 3, 'connect ECONNREFUSED');
select pg_temp.opened();
select is((select message from public.alerts where type = 'system_error'), 'Stripe connectivity lost. Billing operations may be impacted.', 'Stripe is said first');
select pg_temp.watch('system_error', 3);
select is(pg_temp.opened(), 0, 'three are not more than three');
select pg_temp.watch('system_error', 2);
select is(pg_temp.opened(), 1, 'but more than two');
delete from public.alert_notifications;
delete from private.stripe_calls;
select is((select resolved from evaluate_alert_rules()), 1, 'when they are in order again, it is over');

-- Schedules.
select pg_temp.watch('schedule_failed');
select pg_temp.ran('meterbase_aggregate_usage', 3);
select is(pg_temp.opened(), 0, 'no schedule fails');
select pg_temp.ran('meterbase_fold_quota_denials', 4, 'failed'), pg_temp.ran('meterbase_seal_audit_events', 5, p_ago => '7 minutes 1 second');
select is(pg_temp.opened(), 1, 'one that failed, or is late, is seen');
select is(
  (select (severity, action_required, title, message, data -> 'status')::text from public.alerts),
  '(high,t,"Schedules Fail","Failed: [""meterbase_fold_quota_denials""]. Late: [""meterbase_seal_audit_events""].","""degraded""")', 'by name'
);
select pg_temp.watch('schedule_failed', 2);
select is(pg_temp.opened(), 0, 'two are not more than two');
select pg_temp.watch('schedule_failed', 1);
select is(pg_temp.opened(), 1, 'but more than one');
select pg_temp.ran('meterbase_seal_audit_events', 6);
select is((select resolved from evaluate_alert_rules()), 1, 'until they run');
select pg_temp.watch('schedule_failed');
select is(pg_temp.opened(), 1, 'the other is still to');
select is((select message from public.alerts), 'Failed: ["meterbase_fold_quota_denials"]. Late: none.', 'what is none is said');

-- Connections: by as much as are in use now.
create function pg_temp.connections(p_threshold text) returns int language plpgsql as $$
declare
  v_database jsonb := private.platform_components() -> 'database';
begin
  perform pg_temp.watch('database_connections', trunc(100 * (v_database ->> 'connections')::numeric / (v_database ->> 'max_connections')::numeric, 6) + p_threshold::numeric);
  return pg_temp.opened();
end
$$;
select is(pg_temp.connections('0.000001'), 0, 'less than the threshold is in use');
select is(pg_temp.connections('-0.000001'), 1, 'or more');
select is((select (severity, action_required, title)::text from public.alerts), '(critical,t,"Database Connection Pool Exhausted")', 'which is critical');
select matches((select message from public.alerts), '^\d+ of \d+ connections are in use\.$', 'and says of how many');
select pg_temp.watch('database_connections', 50);
insert into public.alert_rules (name, type, threshold) values ('r', 'database_connections', 0);
select is(pg_temp.opened(), 1, 'each rule by its own threshold');
select pg_temp.watch('database_connections');
select is(pg_temp.opened(), 0, 'ninety percent are not');
select is((select threshold from private.rule_steps), 90::numeric, 'which is what is meant without one');

select * from finish();
rollback;
