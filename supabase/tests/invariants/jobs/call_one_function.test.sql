begin;
select plan(8);

create temp view jobs as
select j.jobname, j.schedule, j.active, c.match[1] as function, c.match[2] as argument
from cron.job j
cross join regexp_match(j.command, '^select private\.([a-z_]+)\((''/[a-z/]+'')?\)$') c (match)
where j.jobname like 'meterbase\_%';

select set_has(
  'select jobname::text from jobs',
  $$ values ('meterbase_audit_partitions'), ('meterbase_prune_quota'), ('meterbase_usage_partitions') $$,
  'the lint sees the jobs'
);
select is_empty(
  $$ select command from cron.job where jobname is null or jobname !~ '^meterbase_' $$,
  'each carries the name of its project'
);
select is_empty('select jobname from jobs where function is null', 'each calls one private function and does nothing else');
select is_empty(
  $$ select jobname, function from jobs j
     where not exists (
       select from pg_proc p
       where p.pronamespace = 'private'::regnamespace and p.proname = j.function
         and num_nonnulls(j.argument) between p.pronargs - p.pronargdefaults and p.pronargs
     ) $$,
  'which exists'
);
select set_eq(
  'select jobname::text, function, argument from jobs where argument is not null',
  $$ values ('meterbase_recover_stripe_events', 'call_function', '''/billing/recover'''),
       ('meterbase_reconcile_subscriptions', 'call_function', '''/billing/reconcile''') $$,
  'none but those that call an edge function passes anything'
);
select is_empty('select jobname from jobs where not active', 'none is switched off');
-- Seconds are known from 1.5 on; what stands in for pg_cron knows them.
select set_eq(
  $$ select jobname::text, schedule from jobs where schedule !~ '^(\S+ ){4}\S+$' $$,
  $$ select j, '30 seconds' from unnest(array['meterbase_deliver_alerts', 'meterbase_sample_health']) j
     where not exists (
       select from pg_extension where extname = 'pg_cron' and string_to_array(substring(extversion from '^\d+\.\d+'), '.')::int[] < array[1, 5]
     ) $$,
  'each runs on the oldest pg_cron, which knows no seconds; two run twice a minute where it does'
);
select set_eq(
  $$ select schedule from jobs where jobname in ('meterbase_deliver_alerts', 'meterbase_sample_health') $$,
  $$ select private.every_seconds(30) $$,
  'those two are as often as can be'
);

select * from finish();
rollback;
