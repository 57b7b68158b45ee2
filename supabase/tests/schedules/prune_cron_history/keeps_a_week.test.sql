begin;
select plan(2);

insert into cron.job_run_details (jobid, runid, command, start_time)
overriding system value
values (900001, 900001, 'old', now() - interval '7 days 1 second'), (900001, 900002, 'recent', now() - interval '7 days'),
  (900001, 900003, 'new', now());
select private.prune_cron_history();
select set_eq(
  'select command from cron.job_run_details where jobid = 900001', array['recent', 'new'], 'runs are remembered for a week'
);
select tests.act_as_service_role();
select throws_ok('select private.prune_cron_history()', '42501', null, 'no API role forgets them');

select * from finish();
rollback;
