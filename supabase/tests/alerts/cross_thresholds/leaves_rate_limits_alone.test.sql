begin;
select plan(8);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value) values
  (tests.tenant_id('acme'), 'analysis_runs', 'day', 'subject', 10), (tests.tenant_id('acme'), 'embeddings', 'hour', 'tenant', 10),
  (tests.tenant_id('acme'), 'workflows', 'none', 'tenant', 10);
insert into public.alert_rules (tenant_id, name, type) values
  (tests.tenant_id('acme'), 'usage', 'usage_threshold'), (tests.tenant_id('acme'), 'over', 'overage_detected');

select consume_quota(tests.tenant_id('acme'), 'api_calls', 30);
select consume_quota(tests.tenant_id('acme'), 'embeddings', 10);
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 10, s) from unnest(array['ann', '']) s;
select is_empty('select from public.alerts', 'a minute, an hour and what each subject has are crossed without an alert');
select is((select opened from evaluate_alert_rules()), 0, 'which a pass does not see either');
select is(
  (select string_agg(next_threshold::text, ',') from private.quota_counters where metric in ('api_calls', 'embeddings', 'analysis_runs')
   and (period <> 'day' or subject <> '')), '0,0,0', 'nobody looks at their thresholds'
);
select consume_quota(tests.tenant_id('acme'), 'workflows', 10);
select is_empty('select from public.alerts', 'a stock crosses none by itself');
select is((select opened from evaluate_alert_rules()), 2, 'a pass sees it');
select settle_reservation(r.reservation_id, 10001) from reserve_quota(tests.tenant_id('acme'), 'tokens', 1) r;
select set_eq($$ select type from public.alerts where data ->> 'metric' = 'tokens' $$, array['usage_threshold'], 'what is used beyond a limit is left to a pass');
select is((select opened from evaluate_alert_rules()), 1, 'which sees it');
delete from public.alerts;
select settle_reservation(r.reservation_id, 10001) from reserve_quota(tests.tenant_id('globex'), 'tokens', 1) r;
select is_empty($$ select from public.alerts where data ->> 'metric' = 'tokens' $$, 'who has no rule crosses none');

select * from finish();
rollback;
