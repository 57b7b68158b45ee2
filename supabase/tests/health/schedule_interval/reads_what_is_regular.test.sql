begin;
select plan(2);

select results_eq(
  $$ select s, private.schedule_interval(s) from unnest(array[
       '* * * * *', '*/10 * * * *', '*/1 * * * *', '5 * * * *', '15 3 * * *', '30 seconds', '1 second', '0 0 * * 1', '0 0 1 * *', '0 */2 * * *', '1,2 * * * *', '@daily', ''
     ]) with ordinality s (s, n) order by n $$,
  $$ values ('* * * * *', interval '1 minute'), ('*/10 * * * *', '10 minutes'), ('*/1 * * * *', '1 minute'), ('5 * * * *', '1 hour'), ('15 3 * * *', '1 day'),
       ('30 seconds', '30 seconds'), ('1 second', '1 second'), ('0 0 * * 1', null), ('0 0 1 * *', null), ('0 */2 * * *', null), ('1,2 * * * *', null), ('@daily', null), ('', null) $$,
  'what is too irregular to tell is not told'
);
select is_empty(
  $$ select schedule from cron.job where jobname like 'meterbase\_%' and private.schedule_interval(schedule) is null $$, 'each job of Meterbase is regular'
);

select * from finish();
rollback;
