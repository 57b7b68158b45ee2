begin;
select plan(3);

select tests.create_tenant('acme', 'startup');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 4, 'u1');

-- Another caller, a moment ahead, begins the next month after this one looked, and before it takes.
create function pg_temp.begin_month() returns trigger language plpgsql as $$
begin
  update private.quota_counters
  set used = 1, window_start = private.window_end('month', private.window_start('month', now())) where period = 'month';
  return null;
end
$$;
create trigger begin_month after update on private.quota_counters
  for each row when (new.period = 'day') execute function pg_temp.begin_month();

select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1')), true, 'the take is granted'
);
select is(
  (select (used, window_start)::text from private.quota_counters where period = 'month'),
  (select (4, private.window_end('month', private.window_start('month', now())))::text),
  'in the month that began, which is not rolled back'
);
select is((select used from private.quota_counters where period = 'day'), 7::bigint, 'and in the day that goes on');

select * from finish();
rollback;
