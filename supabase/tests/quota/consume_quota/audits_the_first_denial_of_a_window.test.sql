begin;
select plan(7);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
select tests.add_member('acme', 'ann', 'editor');
select tests.set_clock(name) from unnest(array['acme', 'solo']) name;
create function pg_temp.deny(p_tenant text, p_metric text, p_amount bigint, p_subject text default '') returns void language sql as $$
  select from consume_quota(tests.tenant_id(p_tenant), p_metric, p_amount, p_subject)
$$;
create function pg_temp.deny_often(p_amount bigint) returns void language sql as $$
  select from consume_quota(tests.tenant_id('acme'), 'tokens', 1);
  select from consume_quota(tests.tenant_id('acme'), 'tokens', p_amount);
  select from consume_quota(tests.tenant_id('acme'), 'tokens', p_amount + 1);
  select from consume_quota_batch(tests.tenant_id('acme'), 'tokens', array[p_amount, 1, p_amount]);
$$;
create temp view audited as
select event_type, entity_id, new_values ->> 'period' as period, new_values ->> 'subject' as subject
from public.audit_events where result = 'failure';

select tests.act_as_user('ann');
select pg_temp.deny_often(20000);
select tests.act_as_owner();
select is((select count(*) from public.quota_decisions), 2::bigint, 'each sight has a receipt');
select results_eq(
  $$ select a.tenant_id, a.event_type, a.action, a.entity_type, a.entity_id, a.actor_type::text, a.actor_id, a.severity::text,
       a.result::text, a.old_values, a.new_values, a.metadata
     from public.audit_events a where a.result = 'failure' $$,
  $$ select tests.tenant_id('acme'), 'quota_exceeded', 'denied', 'metric', 'tokens', 'tenant', tests.user_id('ann')::text, 'warning',
       'failure', null::jsonb, '{"period": "day", "subject": "", "limit": 10000, "used": 1}'::jsonb,
       jsonb_build_object('decision_id', d.id)
     from public.quota_decisions d where is_first $$,
  'the first is audited'
);
select pg_temp.deny('acme', 'embeddings', 51);
select is((select count(*) from audited), 2::bigint, 'of each metric');
select tests.set_clock('acme', '1 day');
select pg_temp.deny_often(20000);
select is((select count(*) from audited where entity_id = 'tokens'), 2::bigint, 'and again of the next window');
select tests.act_as_service_role();
select pg_temp.deny('acme', 'api_calls', 31);
select pg_temp.deny('solo', 'analysis_runs', 21, subject) from unnest(array['u1', 'u1', 'u2']) subject;
select tests.act_as_owner();
select set_eq(
  $$ select * from audited where entity_id in ('api_calls', 'analysis_runs') $$,
  $$ values ('rate_limit_exceeded', 'api_calls', 'minute', ''), ('rate_limit_exceeded', 'analysis_runs', 'day', 'u1'),
       ('rate_limit_exceeded', 'analysis_runs', 'day', 'u2') $$,
  'a window of a minute, or of a subject, is a rate limit'
);
-- An hour is one, too.
insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (tests.tenant_id('acme'), 'executions', 'hour', 1),
  (tests.tenant_id('acme'), 'run_minutes', 'month', 1);
select pg_temp.deny('acme', metric, 2) from unnest(array['executions', 'run_minutes']) metric;
select set_eq(
  $$ select entity_id, event_type from audited where entity_id in ('executions', 'run_minutes') $$,
  $$ values ('executions', 'rate_limit_exceeded'), ('run_minutes', 'quota_exceeded') $$, 'so is an hour, and no longer one'
);
select pg_temp.deny('acme', 'executions', 1);
select pg_temp.deny('acme', 'executions', 1);
select is((select count(*) from audited where entity_id = 'executions'), 1::bigint, 'other counters of the window are no other denial');

select * from finish();
rollback;
