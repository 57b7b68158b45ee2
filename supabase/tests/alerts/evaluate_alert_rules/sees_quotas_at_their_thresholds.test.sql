begin;
select plan(27);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
select set_custom_quota(tests.tenant_id('acme'), m, l, p) from (values
  ('executions', 1000, 'month'::public.quota_period), ('workflows', 10, 'none'), ('embeddings', 0, 'day'), ('chat_messages', null, 'day')
) limits (m, l, p);
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value) values (tests.tenant_id('acme'), 'analysis_runs', 'day', 'subject', 10);
insert into public.alert_rules (tenant_id, name, type) values
  (tests.tenant_id('acme'), 'usage', 'usage_threshold'), (tests.tenant_id('acme'), 'warning', 'quota_warning'),
  (tests.tenant_id('acme'), 'overage', 'overage_detected');
-- What opens when so much is used, of acme and of globex.
create function pg_temp.opens(
  p_used bigint, p_metric text default 'tokens', p_period public.quota_period default 'day', p_subject text default '', p_ago interval default '0'
) returns text language plpgsql as $$
declare
  v_before uuid[] := array(select id from public.alerts);
begin
  insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
  select t, p_metric, p_period, p_subject, private.window_start(p_period, now() - p_ago), p_used
  from unnest(array[tests.tenant_id('acme'), tests.tenant_id('globex')]) t
  on conflict (tenant_id, metric, period, subject) do update set used = excluded.used;
  perform evaluate_alert_rules();
  return (
    select string_agg(concat_ws(' ', r.name, a.severity, a.data ->> 'threshold'), ', ' order by r.name)
    from public.alerts a left join public.alert_rules r on r.id = a.rule_id where a.id <> all (v_before)
  );
end
$$;

select is(pg_temp.opens(20000, 'tokens', 'day', 'ann'), null, 'what somebody used is not what the tenant did');
select is(pg_temp.opens(7999), null, 'below 80 % nothing is seen');
select is(pg_temp.opens(8000), 'usage medium 80, warning medium 80', 'at 80 % it is');
select is(pg_temp.opens(9499), null, 'nothing more below 95 %');
select is(pg_temp.opens(9500), 'usage critical 95', 'at 95 % the second step of a usage threshold, not of a warning');
select is(pg_temp.opens(10000), null, 'a full limit is no overage');
select is(pg_temp.opens(10001), 'overage high 0', 'one more is');

select is(pg_temp.opens(799, 'executions', 'month'), null, 'a month is watched as well');
select is(pg_temp.opens(800, 'executions', 'month'), 'usage medium 80, warning medium 80', 'from the same share on');
select is(pg_temp.opens(7, 'workflows', 'none'), null, 'and a stock');
select is(pg_temp.opens(8, 'workflows', 'none'), 'usage medium 80, warning medium 80', 'which never ends');
select is(pg_temp.opens(31, 'api_calls', 'minute'), null, 'a minute is a rate limit''s');
select is(pg_temp.opens(11, 'analysis_runs', 'day', 'ann'), null, 'what each subject has is not the tenant''s');
select is(pg_temp.opens(11, 'analysis_runs', 'day'), null, 'nor what is nobody''s of it');
select is(pg_temp.opens(5, 'embeddings'), null, 'nothing is a share of nothing');
select is(pg_temp.opens(5000, 'chat_messages'), null, 'nor of what is unlimited');
select is_empty($$ select from public.alerts where tenant_id is distinct from tests.tenant_id('acme') $$, 'none is of a tenant without rules');

-- Thresholds and severities of their own.
delete from public.alert_rules where tenant_id is not null;
delete from private.quota_counters;
insert into public.alert_rules (tenant_id, name, type, threshold, severity, metric) values
  (tests.tenant_id('acme'), 'half', 'usage_threshold', 50, null, null), (tests.tenant_id('acme'), 'most', 'usage_threshold', 95, null, 'tokens'),
  (tests.tenant_id('acme'), 'nearly', 'usage_threshold', 94.99, null, 'tokens'), (tests.tenant_id('acme'), 'runs', 'usage_threshold', 1, null, 'executions'),
  (tests.tenant_id('acme'), 'quiet', 'quota_warning', 99.5, 'low', null), (tests.tenant_id('acme'), 'tenth', 'overage_detected', 10, 'critical', null);
select is(pg_temp.opens(4999), null, 'below one''s own threshold nothing is seen');
select is(pg_temp.opens(5000), 'half medium 50', 'at it, once');
select is(pg_temp.opens(9499), 'nearly medium 94.99', 'a share that is no integer');
select is(pg_temp.opens(9500), 'most critical 95', 'one from the critical threshold on is critical');
select is(pg_temp.opens(9950), 'quiet low 99.5', 'unless its severity is said');
select is(pg_temp.opens(11000), null, 'so much more is no overage yet');
select is(pg_temp.opens(11001), 'tenth critical 10', 'one more is');

-- A window that ended.
delete from private.quota_counters;
delete from public.alerts;
select is(pg_temp.opens(10, 'executions', 'month', p_ago => '40 days'), null, 'what was used of a month that is over is not seen');
delete from private.quota_counters;
select is(pg_temp.opens(9, 'executions', 'month'), null, 'a rule about a metric');
select is(pg_temp.opens(10, 'executions', 'month'), 'runs medium 1', 'sees that metric alone');

select * from finish();
rollback;
