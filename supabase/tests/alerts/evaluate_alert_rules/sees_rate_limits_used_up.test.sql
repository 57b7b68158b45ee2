begin;
select plan(14);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
select tests.set_clock('acme');
select set_custom_quota(tests.tenant_id('acme'), 'embeddings', 1, 'hour');
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value) values (tests.tenant_id('acme'), 'analysis_runs', 'day', 'subject', 1);
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'rate', 'rate_limit_breach');
create function pg_temp.deny(p_metric text, p_amount bigint, p_ago interval default '0', p_subject text default null, p_tenant text default 'acme')
returns void language plpgsql as $$
declare
  v_id uuid := (consume_quota(tests.tenant_id(p_tenant), p_metric, p_amount, p_subject)).decision_id;
begin
  update public.quota_decisions set created_at = created_at - p_ago where id = v_id;
end
$$;
create function pg_temp.opened() returns int language sql as $$ select opened from evaluate_alert_rules() $$;

select pg_temp.deny('tokens', 10001);
select pg_temp.deny('api_calls', 31, p_tenant => 'globex');
select is(pg_temp.opened(), 0, 'a day''s quota is no rate limit, and another tenant''s is not seen');
select pg_temp.deny('api_calls', 31, '60 minutes');
select is(pg_temp.opened(), 0, 'nor is one of an hour ago');
update public.quota_decisions set created_at = created_at + interval '1 microsecond' where metric = 'api_calls' and tenant_id = tests.tenant_id('acme');
select is(pg_temp.opened(), 1, 'a minute''s that was used up within the hour is, in the tenant''s time');
select results_eq(
  $$ select severity::text, title, message, data -> 'breaches', data ->> 'metrics' from public.alerts $$,
  $$ values ('medium', 'Rate Limit Breached', 'Rate limits used up in the last 60 minutes: 1 (API calls).', '1'::jsonb, 'API calls') $$,
  'with what it was'
);
select consume_quota(tests.tenant_id('acme'), 'api_calls', 1);
select pg_temp.deny('api_calls', 32);
select is(pg_temp.opened(), 0, 'a second denial of the same window');
select is((select occurrences from public.alerts), 1, 'is nothing new');
select pg_temp.deny('embeddings', 2);
select pg_temp.deny('analysis_runs', 2, p_subject => 'ann');
select is(pg_temp.opened(), 0, 'another window');
select is(
  (select (message, occurrences)::text from public.alerts), '("Rate limits used up in the last 60 minutes: 3 (API calls, analysis runs, embeddings).",2)',
  'is: an hour''s, and a day''s of somebody'
);

delete from public.alert_rules where tenant_id is not null;
insert into public.alert_rules (tenant_id, name, type, threshold, window_minutes) values (tests.tenant_id('acme'), 'rate', 'rate_limit_breach', 2, 30);
select is(pg_temp.opened(), 0, 'two within half an hour are not more than two');
select pg_temp.deny('analysis_runs', 2, p_subject => 'ben');
select is(pg_temp.opened(), 1, 'three are');
update public.alert_rules set metric = 'api_calls', threshold = 0 where tenant_id is not null;
select is((select resolved from evaluate_alert_rules()), 1, 'of API calls none is');
update public.alert_rules set metric = 'analysis_runs', threshold = 1 where tenant_id is not null;
select is(pg_temp.opened(), 1, 'of analysis runs two');
update public.alert_rules set threshold = 2 where tenant_id is not null;
select is(pg_temp.opened(), 0, 'and no more');
select is_empty($$ select from public.alerts where tenant_id = tests.tenant_id('globex') $$, 'globex has no rule');

select * from finish();
rollback;
