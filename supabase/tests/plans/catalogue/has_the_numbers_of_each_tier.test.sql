begin;
select plan(6);

prepare workflow_tiers as
select plan_id,
  max(limit_value) filter (where metric = 'executions' and period = 'month'),
  max(limit_value) filter (where metric = 'run_minutes' and period = 'month'),
  max(limit_value) filter (where metric = 'workflows' and period = 'none'),
  max(limit_value) filter (where metric = 'connectors' and period = 'none'),
  max(limit_value) filter (where metric = 'team_members' and period = 'none')
from public.plan_limits
where per = 'tenant' and metric in ('executions', 'run_minutes', 'workflows', 'connectors', 'team_members')
group by plan_id order by min(limit_value);
select results_eq(
  'workflow_tiers',
  $$ values
       ('free', 1000::bigint, 100::bigint, 10::bigint, 5::bigint, 1::bigint),
       ('pro', 50000, 5000, 100, 50, 10),
       ('enterprise', 500000, 50000, 1000, 500, 100) $$,
  'workflows: free, pro, enterprise'
);

prepare chat_tiers as
select plan_id,
  max(limit_value) filter (where metric = 'tokens' and period = 'day'),
  max(limit_value) filter (where metric = 'api_calls' and period = 'minute'),
  max(limit_value) filter (where metric = 'chat_messages' and period = 'day'),
  max(limit_value) filter (where metric = 'embeddings' and period = 'day'),
  count(*)
from public.plan_limits
where per = 'tenant' and metric in ('tokens', 'api_calls', 'chat_messages', 'embeddings')
group by plan_id order by min(limit_value);
select results_eq(
  'chat_tiers',
  $$ values
       ('trial', 10000::bigint, 30::bigint, 100::bigint, 50::bigint, 4::bigint),
       ('starter', 100000, 60, 1000, 500, 4),
       ('pro', 500000, 120, 5000, 2000, 4),
       ('enterprise', null, null, null, null, 4) $$,
  'chat: trial, starter, pro, and enterprise without limit'
);

prepare analysis_tiers as
select plan_id,
  max(limit_value) filter (where metric = 'api_calls' and period = 'day'),
  max(limit_value) filter (where metric = 'api_calls' and period = 'month'),
  max(limit_value) filter (where metric = 'analysis_runs' and period = 'day'),
  max(limit_value) filter (where metric = 'analysis_runs' and period = 'month'),
  count(*)
from public.plan_limits
where per = 'subject'
group by plan_id order by min(limit_value);
select results_eq(
  'analysis_tiers',
  $$ values
       ('startup', 1000::bigint, 20000::bigint, 20::bigint, 200::bigint, 4::bigint),
       ('enterprise', 10000, 200000, 500, 5000, 4),
       ('unlimited', null, null, null, null, 4) $$,
  'analysis, for each user: startup, enterprise, and unlimited'
);

select is((select count(*) from public.plan_limits), 43::bigint, 'there is no limit besides');
select is_empty($$ select from public.plan_limits where enforcement <> 'hard' $$, 'all of them deny');
select results_eq(
  'select id, trial_days from public.billing_plans where is_self_serve order by sort_order',
  $$ values ('free', null::int), ('trial', 14) $$, 'a user may start on free or on a trial of 14 days'
);

select * from finish();
rollback;
