begin;
select plan(16);

create function pg_temp.ran(p_job text, p_run int, p_status text, p_ago interval default '0') returns void language sql as $$
  insert into cron.job_run_details (jobid, runid, status, start_time) overriding system value
  select jobid, 900000 + p_run, p_status, now() - p_ago from cron.job where jobname = p_job
$$;
create function pg_temp.health() returns text language sql as $$
  select concat_ws(' ', h ->> 'status', h -> 'failed', h -> 'late') from private.schedule_health() h
$$;

-- Far from what ran before.
select pg_temp.ran('meterbase_expire_trials', 0, 'succeeded');
select is(pg_temp.health(), 'healthy [] []', 'who has not run yet is neither late nor has failed');
select is((private.schedule_health() ->> 'jobs')::bigint, (select count(*) from cron.job where jobname like 'meterbase\_%'), 'all jobs are looked at');
select pg_temp.ran('meterbase_seal_audit_events', 1, 'failed');
select is(pg_temp.health(), 'degraded ["meterbase_seal_audit_events"] []', 'one whose last run failed degrades');
select pg_temp.ran('meterbase_seal_audit_events', 2, 'running'), pg_temp.ran('meterbase_seal_audit_events', 3, 'starting');
select is(pg_temp.health(), 'degraded ["meterbase_seal_audit_events"] []', 'a run under way is not its last one');
select pg_temp.ran('meterbase_seal_audit_events', 4, 'succeeded');
select is(pg_temp.health(), 'healthy [] []', 'until it succeeds');

-- Late by two intervals and five minutes.
select pg_temp.ran('meterbase_settle_credits', 5, 'succeeded', '7 minutes'), pg_temp.ran('meterbase_prune_quota', 6, 'succeeded', '2 hours 5 minutes'),
  pg_temp.ran('meterbase_cleanup_usage_events', 7, 'succeeded', '48 hours 5 minutes'), pg_temp.ran('meterbase_recover_stripe_events', 8, 'succeeded', '25 minutes');
select is(pg_temp.health(), 'healthy [] []', 'two intervals and five minutes are not late');
select pg_temp.ran('meterbase_settle_credits', 15, 'succeeded', '7 minutes 1 microsecond'), pg_temp.ran('meterbase_prune_quota', 16, 'succeeded', '2 hours 5 minutes 1 microsecond'),
  pg_temp.ran('meterbase_cleanup_usage_events', 17, 'succeeded', '48 hours 5 minutes 1 microsecond'), pg_temp.ran('meterbase_recover_stripe_events', 18, 'succeeded', '25 minutes 1 microsecond');
select is(
  pg_temp.health(), 'degraded [] ["meterbase_cleanup_usage_events", "meterbase_prune_quota", "meterbase_recover_stripe_events", "meterbase_settle_credits"]', 'more is'
);
delete from cron.job_run_details where runid >= 900005;
-- The roll-ups are what all else needs.
select pg_temp.ran('meterbase_aggregate_usage', 20, 'failed');
select is(pg_temp.health(), 'unhealthy ["meterbase_aggregate_usage"] []', 'roll-ups that fail are unhealthy');
select pg_temp.ran('meterbase_aggregate_usage', 21, 'succeeded', '8 minutes');
select is(pg_temp.health(), 'unhealthy [] ["meterbase_aggregate_usage"]', 'or are late');
select pg_temp.ran('meterbase_aggregate_usage', 22, 'failed', '8 minutes');
select is(pg_temp.health(), 'unhealthy ["meterbase_aggregate_usage"] ["meterbase_aggregate_usage"]', 'or both');
select pg_temp.ran('meterbase_aggregate_usage', 23, 'succeeded');
select is(pg_temp.health(), 'healthy [] []', 'until they run');

-- Others' jobs, and those that are switched off.
insert into cron.job (jobname, schedule, command, nodename, nodeport, database, username) select 'other', schedule, 'select 1', nodename, nodeport, database, username from cron.job limit 1;
insert into cron.job (jobname, schedule, command, nodename, nodeport, database, username) select 'meterbasex', schedule, 'select 1', nodename, nodeport, database, username from cron.job limit 1;
select pg_temp.ran('other', 30, 'failed'), pg_temp.ran('meterbasex', 31, 'failed');
select is(pg_temp.health(), 'healthy [] []', 'the project''s other jobs are its own');
select pg_temp.ran('meterbase_prune_quota', 32, 'failed');
select is(pg_temp.health(), 'degraded ["meterbase_prune_quota"] []', 'one that failed');
update cron.job set active = false where jobname = 'meterbase_prune_quota';
select is(pg_temp.health(), 'healthy [] []', 'and is switched off is not looked at');
-- Among very many runs, the last ones.
insert into cron.job_run_details (jobid, runid, status, start_time) overriding system value select jobid, 949999, 'succeeded', now() from cron.job where jobname = 'meterbase_expire_trials';
select pg_temp.ran('meterbase_seal_audit_events', 0 + 40, 'failed');
select is(pg_temp.health(), 'degraded ["meterbase_seal_audit_events"] []', 'the last 50,000 runs are looked through');
delete from cron.job;
select is(private.schedule_health(), '{"jobs": 0, "late": [], "failed": [], "status": "healthy"}', 'without jobs none is late');

select * from finish();
rollback;
