begin;
select plan(12);

select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'analysis_runs', 'day', 'tenant', 100);
create function pg_temp.used() returns text language sql as $$
  select string_agg(format('%s %s %s', c.period, c.subject, c.used), ', ' order by c.period, c.subject)
  from private.quota_counters c where c.tenant_id = tests.tenant_id('acme') and c.metric = 'analysis_runs' and c.used > 0
$$;
create function pg_temp.fill() returns void language sql as $$
  delete from private.quota_counters;
  select from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 2, 'u1');
  select from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u2');
  select from consume_quota(tests.tenant_id('acme'), 'api_calls', 1);
  select from consume_quota(tests.tenant_id('rival'), 'analysis_runs', 1);
$$;

select pg_temp.fill();
select is(pg_temp.used(), 'day  5, day u1 2, day u2 3, month u1 2, month u2 3', 'of all that is used');
select is(reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs', 'day'), 3, 'a period');
select is(pg_temp.used(), 'month u1 2, month u2 3', 'and no other');
select pg_temp.fill();
select reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs', subject => 'u1');
select is(pg_temp.used(), 'day  5, day u2 3, month u2 3', 'a subject in each period');
select pg_temp.fill();
select reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs', 'day', '');
select is(pg_temp.used(), 'day u1 2, day u2 3, month u1 2, month u2 3', 'the tenant by an empty subject');
select is(reset_quota_counter(tests.tenant_id('acme'), 'analysis_runs'), 5, 'or all of a metric');
select is(pg_temp.used(), null, 'in every period and for every subject');
select is(
  (select count(*) from private.quota_counters where used = 1), 4::bigint, 'another metric and another tenant keep theirs'
);

select set_eq(
  $$ select a.tenant_id, a.entity_type, a.entity_id, jsonb_array_length(a.old_values -> 'counters') from public.audit_events a
     where a.event_type = 'quota_counter_reset' $$,
  $$ values (tests.tenant_id('acme'), 'metric', 'analysis_runs', 3), (tests.tenant_id('acme'), 'metric', 'analysis_runs', 2),
       (tests.tenant_id('acme'), 'metric', 'analysis_runs', 1), (tests.tenant_id('acme'), 'metric', 'analysis_runs', 5) $$,
  'each is audited'
);
select ok(
  (select bool_and(old_values -> 'counters' @> '[{"period": "day", "subject": "", "used": 5}]') from public.audit_events
   where event_type = 'quota_counter_reset' and jsonb_array_length(old_values -> 'counters') in (1, 3)),
  'with what it was'
);
select is(reset_quota_counter(tests.tenant_id('acme'), 'tokens'), 0, 'where nothing was used there is nothing to reset');
select is(
  tests.error_of($$ select reset_quota_counter(tests.tenant_id('acme'), 'nonsense') $$), 'PT404 metric_not_found', 'an unknown metric'
);

select * from finish();
rollback;
