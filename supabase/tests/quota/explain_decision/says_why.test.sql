begin;
select plan(11);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
select tests.set_clock(name) from unnest(array['acme', 'solo']) name;
create function pg_temp.at(p_period text, p_ends boolean default false) returns text language sql as $$
  select to_char(
    (date_trunc(p_period, tests.noon(), 'UTC') + case when p_ends then ('1 ' || p_period)::interval else '0' end) at time zone 'UTC',
    'YYYY-MM-DD HH24:MI "UTC"')
$$;
create function pg_temp.deny(p_tenant text, p_metric text, p_amount bigint, p_subject text default '') returns uuid language sql as $$
  select decision_id from consume_quota(tests.tenant_id(p_tenant), p_metric, p_amount, p_subject)
$$;
create function pg_temp.told(p_id uuid) returns text language sql as $$ select explanation from explain_decision(p_id) $$;

select consume_quota(tests.tenant_id('acme'), 'tokens', 8);
create temp table denied as select pg_temp.deny('acme', 'tokens', 9993) as id;
select is(
  (select (allowed, reason, metric, period, subject, amount, limit_value, used, remaining, resets_at, plan_id, is_override, decided_at,
     tenant_id, decision_id = id)::text from denied, explain_decision(id)),
  (select (false, 'quota_exceeded', 'tokens', 'day', '', 9993, 10000, 8, 9992, date_trunc('day', tests.noon(), 'UTC') + interval '1 day',
     'trial', false, tests.noon(), tests.tenant_id('acme'), true)::text),
  'all that the decision saw'
);
select is(
  (select windows - 'x' from denied, explain_decision(id)),
  jsonb_build_array(jsonb_build_object(
    'period', 'day', 'subject', '', 'limit_value', 10000, 'enforcement', 'hard', 'is_override', false, 'used', 8,
    'window_start', date_trunc('day', tests.noon(), 'UTC')
  )),
  'and every window'
);
select is(
  (select pg_temp.told(id) from denied),
  format('Denied: 9993 of tokens was asked for when 8 of 10000 was used in the day from %s, a limit of the plan trial. It resets at %s.',
    pg_temp.at('day'), pg_temp.at('day', true)),
  'a limit of the plan'
);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 50);
select is(
  pg_temp.told(pg_temp.deny('acme', 'tokens', 43)),
  format('Denied: 43 of tokens was asked for when 8 of 50 was used in the day from %s, a limit set for this tenant in place of the plan trial. It resets at %s.',
    pg_temp.at('day'), pg_temp.at('day', true)),
  'an override'
);
select set_custom_quota(tests.tenant_id('acme'), 'embeddings', 0);
select is(
  pg_temp.told(pg_temp.deny('acme', 'embeddings', 1)), 'Denied: embeddings is set to 0 for this tenant, on the plan trial.',
  'what is set to nothing'
);
update public.plan_limits set limit_value = 0 where plan_id = 'trial' and metric = 'chat_messages';
select is(
  pg_temp.told(pg_temp.deny('acme', 'chat_messages', 1)), 'Denied: chat_messages is not included in the plan trial.', 'what is not included'
);
update public.plan_limits set enforcement = 'soft' where plan_id = 'trial' and metric = 'api_calls';
select is(
  pg_temp.told(pg_temp.deny('acme', 'api_calls', 31)),
  format('Allowed: 31 of api_calls was asked for when 31 of 30 is now used in the minute from %s, a limit of the plan trial; the limit is soft, so the overage is counted. It resets at %s.',
    pg_temp.at('minute'), pg_temp.at('minute', true)),
  'a soft limit that was passed'
);
select is(
  pg_temp.told(pg_temp.deny('solo', 'analysis_runs', 201, 'u1')),
  format('Denied: 201 of analysis_runs was asked for when 0 of 200 was used in the month from %s by u1, a limit of the plan startup. It resets at %s.',
    pg_temp.at('month'), pg_temp.at('month', true)),
  'a limit of each subject'
);
select set_custom_quota(tests.tenant_id('acme'), 'seats', 3);
select is(
  pg_temp.told(pg_temp.deny('acme', 'seats', 4)),
  'Denied: 4 of seats was asked for when 0 of 3 was used, a limit set for this tenant in place of the plan trial.',
  'a gauge, which never resets'
);
update public.metrics set receipt_sample_rate = 1 where id = 'executions';
select set_custom_quota(tests.tenant_id('acme'), 'executions', null);
select is(
  pg_temp.told(pg_temp.deny('acme', 'executions', 4)),
  format('Allowed: 4 of executions was asked for when 4 of an unlimited amount is now used in the month from %s, a limit set for this tenant in place of the plan trial. It resets at %s.',
    pg_temp.at('month'), pg_temp.at('month', true)),
  'what is unlimited'
);

-- What it was decided by stays, whatever changes later.
create temp table told_then as select pg_temp.told(id) from denied;
update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select clear_custom_quota(tests.tenant_id('acme'), 'tokens');
select results_eq('select pg_temp.told(id) from denied', 'table told_then', 'as it was then');

select * from finish();
rollback;
