begin;
select plan(29);

delete from private.health_samples;
select tests.create_tenant('t' || i, 'trial') from generate_series(1, 20) i;
create function pg_temp.watch(p_type text, p_threshold numeric default null, p_window int default null) returns void language sql as $$
  delete from public.alert_rules;
  delete from public.alerts;
  insert into public.alert_rules (name, type, threshold, window_minutes) values ('r', p_type, p_threshold, p_window);
$$;
create function pg_temp.opened(p_after interval default '0') returns int language sql as $$ select opened from evaluate_alert_rules(now() + p_after) $$;
create function pg_temp.seen() returns text language sql as $$
  select concat_ws(' ', severity, action_required, title || ':', message, data - 'threshold' - 'window_minutes') from public.alerts
$$;

-- The share of takes.
create function pg_temp.sample(p_ago interval, p_allowed numeric, p_denied numeric) returns void language sql as $$
  insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values (now() - p_ago, 'healthy', '{}', p_allowed, p_denied)
$$;
select pg_temp.watch('quota_denial_rate');
select is(pg_temp.opened(), 0, 'without samples no rate is known');
select pg_temp.sample('2 hours', 0, 0), pg_temp.sample('60 minutes', 1000, 500);
select is(pg_temp.opened(), 0, 'nor with one within the hour');
select pg_temp.sample('30 minutes', 1050, 590), pg_temp.sample('0', 1095, 505);
select is(pg_temp.opened(), 0, '5 of 100 takes are not more than 5 %');
update private.health_samples set quota_denied = 506 where sampled_at = now();
select is(pg_temp.opened(), 1, '6 of 101 are');
select is(pg_temp.seen(), 'high f High Quota Denial Rate: 6 of 101 takes were denied in the last 60 minutes. {"takes": 101, "denied": 6}', 'between the first and the last of the hour');
select is(pg_temp.opened('1 minute'), 0, 'the last is the last that there is');
select pg_temp.sample('-1 minute', 1095, 600);
select pg_temp.watch('quota_denial_rate', 28, 121);
select is(pg_temp.opened(), 1, 'by the rule''s own window');
select is((select message from public.alerts), '506 of 1601 takes were denied in the last 121 minutes.', 'of what is not yet to come');
select pg_temp.watch('quota_denial_rate', 32, 121);
select is(pg_temp.opened(), 0, 'and threshold');

delete from private.health_samples;
select pg_temp.watch('quota_denial_rate', 0);
select pg_temp.sample('50 minutes', 0, 0), pg_temp.sample('0', 0, 19);
select is(pg_temp.opened(), 0, 'of nineteen takes any share is few');
insert into private.health_samples (sampled_at, status, components) values (now() - interval '55 minutes', 'healthy', '{}'), (now() + interval '15 seconds', 'healthy', '{}');
select pg_temp.sample('-10 seconds', 0, 20);
select is(pg_temp.opened('20 seconds'), 1, 'of twenty it is not, whatever samples do not count takes');
-- The share of tenants.
create function pg_temp.deny(p_tenants int[], p_metric text default 'tokens', p_ago interval default '0', p_subject text default '', p_period public.quota_period default 'day')
returns void language sql as $$
  insert into public.quota_decisions (tenant_id, metric, period, subject, amount, allowed, used, limit_value, window_start, windows, plan_id, is_first, created_at)
  select tests.tenant_id('t' || i), p_metric, p_period, p_subject, 1, false, 1, 1, now() - p_ago, '[]', 'trial', true, now() - p_ago from unnest(p_tenants) i
$$;
create function pg_temp.use(p_tenants int[], p_ago interval default '0') returns void language sql as $$
  insert into public.tenant_usage_metrics
  select (jsonb_populate_record(null::public.tenant_usage_metrics, to_jsonb(private.summarize_usage(
    tests.tenant_id('t' || i), 'hourly', date_trunc('hour', now()) - p_ago, null, null)) || jsonb_build_object('metric_id', gen_random_uuid()))).*
  from unnest(p_tenants) i
$$;
select pg_temp.watch('quota_denied_tenants');
select is(pg_temp.opened(), 0, 'nobody was denied');
select pg_temp.deny(array[1], p_ago => '1 hour'), pg_temp.deny(array[1]), pg_temp.deny(array[11], p_ago => '24 hours'), pg_temp.deny(array[12], p_ago => '-1 second');
select pg_temp.use(array[2, 3]), pg_temp.use(array[4], '24 hours'), pg_temp.use(array[11, 12, 13, 14], '26 hours'), pg_temp.use(array[15], '-2 hours');
select is(pg_temp.opened(), 0, 'of four tenants that are active within the day, any share is few');
select pg_temp.use(array[5]);
select is(pg_temp.opened(), 0, '1 of 5 is not more than 20 %');
select pg_temp.deny(array[6, 2], 'embeddings');
select is(pg_temp.opened(), 1, '3 of 6 are');
delete from public.quota_decisions where tenant_id in (tests.tenant_id('t6'), tests.tenant_id('t2'));
select is((select resolved from evaluate_alert_rules()), 1, '1 of 5 is not any more');
select pg_temp.deny(array[2], 'embeddings');
select is(pg_temp.opened(), 1, '2 of 5 are');
select is(
  (select concat_ws(' ', severity, action_required, title || ':', message, data - 'threshold' - 'window_minutes') from public.alerts where status = 'open'),
  'high f Many Tenants Denied Quota: 2 of 5 active tenants were denied quota in the last 1440 minutes. {"active_tenants": 5, "denied_tenants": 2}',
  'one that was denied everything is active, too'
);
update public.quota_decisions set is_first = false where tenant_id = tests.tenant_id('t2');
select is((select resolved from evaluate_alert_rules()), 1, 'by the first denial of a window alone');
select pg_temp.deny(array[1, 3], 'embeddings');
select pg_temp.watch('quota_denied_tenants', 40);
select is(pg_temp.opened(), 0, 'by the rule''s own threshold');
select pg_temp.watch('quota_denied_tenants', 39);
select is(pg_temp.opened(), 1, '2 of 5');

-- The number of tenants whose rate is limited.
delete from public.quota_decisions;
select pg_temp.watch('rate_limited_tenants');
select pg_temp.deny(array[5], 'api_calls', '-1 second', p_period => 'minute');
select pg_temp.deny(array[1], 'api_calls', p_period => 'minute'), pg_temp.deny(array[1], 'embeddings', p_period => 'hour'), pg_temp.deny(array[2, 3]),
  pg_temp.deny(array[4], 'api_calls', '60 minutes', p_period => 'minute');
select is(pg_temp.opened(), 0, 'one tenant is not more than one; a day''s quota is no rate, and an hour ago was before');
select pg_temp.deny(array[2], 'analysis_runs', p_subject => 'ann');
select is(pg_temp.opened(), 1, 'two are, one of them by somebody');
select is(pg_temp.seen(), 'high f Rate Limits Exceeded: 2 tenants used up a rate limit in the last 60 minutes. {"tenants": 2}', 'with their number');
update public.quota_decisions set is_first = false where subject = 'ann';
select is((select resolved from evaluate_alert_rules()), 1, 'by the first denial of a window alone');
select pg_temp.deny(array[3], 'api_calls', p_period => 'hour');
select is(pg_temp.opened(), 1, 'an hour''s limit is a rate');
select pg_temp.watch('rate_limited_tenants', 2);
select is(pg_temp.opened(), 0, 'by the rule''s own threshold');
select pg_temp.watch('rate_limited_tenants', 2, 61);
select is(pg_temp.opened(), 1, 'and window');
select is((select tenant_id from public.alerts), null, 'it is the operator''s');

select * from finish();
rollback;
