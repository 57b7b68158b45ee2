begin;
select plan(16);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex', 'initech']) t;
select set_test_clock(tests.tenant_id('initech'), '3 days');
insert into public.alert_rules (tenant_id, name, type) select tests.tenant_id(t), 'fails', 'execution_failure' from unnest(array['acme', 'initech']) t;
create function pg_temp.record(p_count int, p_code int, p_ago interval default '1 minute', p_type text default 'execution', p_tenant text default 'acme')
returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_agg(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', p_type, 'api_status_code', p_code, 'event_timestamp', private.tenant_now(tests.tenant_id(p_tenant)) - p_ago
  ))) from generate_series(1, p_count)
$$;
create function pg_temp.opened(p_after interval default '0') returns int language sql as $$
  select opened from evaluate_alert_rules(now() + p_after)
$$;

select pg_temp.record(5, 400);
select pg_temp.record(20, c) from unnest(array[200, 399, 429]) c;
select pg_temp.record(20, 500, '60 minutes');
select pg_temp.record(20, 500, p_tenant => 'globex');
select is(pg_temp.opened(), 0, 'five that failed are too few; a rate limit is no failure, nor what was an hour ago, nor another tenant''s');
select pg_temp.record(1, 500, interval '60 minutes' - interval '1 millisecond');
select is(pg_temp.opened(), 1, 'six within the hour are seen');
select results_eq(
  $$ select tenant_id, severity::text, title, message, data ->> 'failures', (data ->> 'last_failed_at')::timestamptz from public.alerts $$,
  $$ values (tests.tenant_id('acme'), 'high', 'Executions Failed', 'Failed in the last 60 minutes: 6.', '6', now() - interval '1 minute') $$,
  'with their number and when the last was'
);
select pg_temp.record(1, 599, '0');
select is(pg_temp.opened(), 0, 'one more is the same alert');
select is((select (message, occurrences)::text from public.alerts), '("Failed in the last 60 minutes: 7.",2)', 'of which more was seen');
select is((select resolved from evaluate_alert_rules(now() + interval '59 minutes')), 1, 'when they are an hour ago, it is over');

-- In the tenant's time.
select pg_temp.record(9, 500, '60 minutes', p_tenant => 'initech');
select is(pg_temp.opened(), 0, 'before the last hour of the tenant''s own time nothing counts');
select pg_temp.record(6, 500, '59 minutes', p_tenant => 'initech');
select is(pg_temp.opened(), 1, 'an hour of the tenant''s own time counts');
select is((select opened_at from public.alerts where tenant_id = tests.tenant_id('initech')), now() + interval '3 days', 'and when it opens');
select is_empty($$ select from public.alerts where tenant_id = tests.tenant_id('globex') $$, 'nobody watches globex');

-- Thresholds, windows and metrics of their own.
delete from public.alert_rules where tenant_id is not null;
insert into public.alert_rules (tenant_id, name, type, metric, threshold, window_minutes, severity) values
  (tests.tenant_id('acme'), 'runs', 'execution_failure', 'analysis_runs', 1, 10, 'low');
select pg_temp.record(3, 500, '10 minutes', 'analysis_run');
select pg_temp.record(1, 500, '9 minutes', 'analysis_run');
select pg_temp.record(9, 500, '9 minutes', 'execution');
select is(pg_temp.opened(), 0, 'one is not more than one, in ten minutes, of that metric');
select pg_temp.record(1, 500, '8 minutes', 'analysis_run');
select is(pg_temp.opened(), 1, 'two are');
select is((select (severity, data ->> 'metric', data ->> 'window_minutes')::text from public.alerts where rule_id in (select id from public.alert_rules)), '(low,analysis_runs,10)', 'as the rule says');
update public.alert_rules set metric = 'embeddings' where tenant_id is not null;
select is((select resolved from evaluate_alert_rules()), 1, 'of another metric nothing failed');
update public.alert_rules set metric = null, threshold = 0, enabled = false where tenant_id is not null;
select is(pg_temp.opened(), 0, 'a rule that is disabled sees nothing');
update public.alert_rules set enabled = true where tenant_id is not null;
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select is(pg_temp.opened(), 0, 'nor does one of a tenant that is suspended');

select * from finish();
rollback;
