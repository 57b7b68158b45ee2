begin;
select plan(6);

select tests.create_tenant('acme', 'startup');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 4, 'u1');

-- Another caller fills the month after this one saw room in it, and before it takes.
create function pg_temp.fill_month() returns trigger language plpgsql as $$
begin
  update private.quota_counters set used = 200 where period = 'month';
  return null;
end
$$;
create trigger fill_month after update on private.quota_counters
  for each row when (new.period = 'day') execute function pg_temp.fill_month();

select is(
  (select (allowed, period, limit_value, used, remaining, reason)::text
   from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1')),
  '(f,month,200,200,0,quota_exceeded)', 'is denied by the window that filled meanwhile'
);
select is(
  (select used from private.quota_counters where period = 'day'), 4::bigint, 'gives back what it had taken from the first'
);
select is((select used from private.quota_counters where period = 'month'), 200::bigint, 'and nothing of the second');
select is(
  (select (allowed, reason, used, windows -> 0 ->> 'used')::text from public.quota_decisions), '(f,quota_exceeded,200,4)',
  'the receipt has the counters as they were left'
);

-- With more windows before the one that refuses: the hour's is the first, in which a grant is counted.
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'analysis_runs', 'hour', 'subject', 100);
update private.quota_counters set used = 4 where period = 'month';
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1');
select results_eq(
  'select period::text, used from private.quota_counters c order by c.period',
  $$ values ('hour', 0::bigint), ('day', 4), ('month', 200) $$, 'gives back to all that it had taken from'
);
select results_eq(
  'select period::text, allowed from private.quota_counters c order by c.period',
  $$ values ('hour', 0::bigint), ('day', 1), ('month', 0) $$, 'and is no grant in any'
);

select * from finish();
rollback;
