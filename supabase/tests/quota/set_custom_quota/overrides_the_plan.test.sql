begin;
select plan(10);

select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
create function pg_temp.set_quota(p_metric text, p_limit bigint, p_period public.quota_period default null) returns text
language sql as $$
  select (s.tenant_id = tests.tenant_id('acme'), s.metric, s.period, s.per, s.limit_value)::text
  from set_custom_quota(tests.tenant_id('acme'), p_metric, p_limit, p_period) s
$$;

select is(
  pg_temp.set_quota('analysis_runs', 2), '(t,analysis_runs,day,subject,2)',
  'of the metric''s default period, for whom the plan''s limit counts'
);
select is(
  (select (allowed, limit_value)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u1')), '(f,2)',
  'and is in force at once'
);
select is(
  pg_temp.set_quota('analysis_runs', 9, 'month'), '(t,analysis_runs,month,subject,9)', 'or of the period that is named'
);
select is(
  pg_temp.set_quota('analysis_runs', 5, 'hour'), '(t,analysis_runs,hour,tenant,5)',
  'a window that the plan lacks is added for the whole tenant'
);
select is(
  pg_temp.set_quota('api_calls', 30), '(t,api_calls,minute,tenant,30)', 'the default period of another metric is another'
);
select is(pg_temp.set_quota('analysis_runs', 8), '(t,analysis_runs,day,subject,8)', 'setting it again replaces it');
select is((select count(*) from public.tenant_limits), 4::bigint, 'in place');
select is(pg_temp.set_quota('analysis_runs', null), '(t,analysis_runs,day,subject,)', 'null lifts the limit');
select is(pg_temp.set_quota('analysis_runs', 0), '(t,analysis_runs,day,subject,0)', 'zero excludes');
select is_empty(
  $$ select from public.entitlements where tenant_id = tests.tenant_id('rival') and is_override $$,
  'another tenant''s stay as they are'
);

select * from finish();
rollback;
