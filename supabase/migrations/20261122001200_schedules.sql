-- Schedules: every job of pg_cron. A job calls one function and does nothing else; times are UTC.

set lock_timeout = '5s';
set statement_timeout = '60s';

do $$
begin
  if to_regclass('cron.job') is null then
    create extension pg_cron with schema pg_catalog;
  end if;
end
$$;

select cron.schedule('meterbase_usage_partitions', '5 0 * * *', 'select private.ensure_usage_partitions()');
select cron.schedule('meterbase_audit_partitions', '10 0 * * *', 'select private.ensure_audit_partitions()');
select cron.schedule('meterbase_prune_usage_event_keys', '20 3 * * *', 'select private.prune_usage_event_keys()');
select cron.schedule('meterbase_prune_quota', '40 * * * *', 'select private.prune_quota()');
