begin;
select plan(6);

create temp view jobs as
select j.jobname, j.schedule, j.active, (regexp_match(j.command, '^select private\.([a-z_]+)\(\)$'))[1] as function
from cron.job j
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
       where p.pronamespace = 'private'::regnamespace and p.proname = j.function and p.pronargs = p.pronargdefaults
     ) $$,
  'which exists'
);
select is_empty('select jobname from jobs where not active', 'none is switched off');
select is_empty(
  $$ select jobname, schedule from jobs where schedule !~ '^(\S+ ){4}\S+$' $$,
  'each runs on the oldest pg_cron, which knows no seconds'
);

select * from finish();
rollback;
