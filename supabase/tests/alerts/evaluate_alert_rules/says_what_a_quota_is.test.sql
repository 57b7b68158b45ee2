begin;
select plan(8);

update public.alert_rules set enabled = false;
select tests.create_tenant('acme', 'trial');
select tests.set_clock('acme');
insert into public.alert_rules (tenant_id, name, type, metric) select tests.tenant_id('acme'), 'r', t, m
from unnest(array['usage_threshold', 'overage_detected']) t, unnest(array['tokens', 'api_calls', 'workflows']) m;
select set_custom_quota(tests.tenant_id('acme'), 'api_calls', 3000, 'day');
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 3);
update public.plan_limits set enforcement = 'soft' where plan_id = 'trial' and metric = 'tokens';
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used) values
  (tests.tenant_id('acme'), 'tokens', 'day', '', private.window_start('day', tests.noon()), 10250),
  (tests.tenant_id('acme'), 'api_calls', 'day', '', private.window_start('day', tests.noon()), 2500),
  (tests.tenant_id('acme'), 'workflows', 'none', '', '-infinity', 5);
select evaluate_alert_rules();

select results_eq(
  $$ select title, message from public.alerts where type = 'usage_threshold' order by 1, 2 $$,
  $$ values ('API Usage Warning', 'API usage at 83.33% of quota. Consider upgrading your plan.'),
       ('Tokens Usage Critical', 'Tokens usage at 102.5% of quota. Consider upgrading your plan.'),
       ('Tokens Usage Warning', 'Tokens usage at 102.5% of quota. Consider upgrading your plan.'),
       ('Workflows Usage Critical', 'Workflows usage at 166.66% of quota. Consider upgrading your plan.'),
       ('Workflows Usage Warning', 'Workflows usage at 166.66% of quota. Consider upgrading your plan.') $$,
  'each says how much is used, rounded down'
);
select results_eq(
  $$ select title, message from public.alerts where type = 'overage_detected' order by 1 $$,
  $$ values ('Tokens Overage Detected', '250 tokens over quota. Additional charges apply.'),
       ('Workflows Overage Detected', '2 workflows over quota. What comes now is refused.') $$,
  'and how much is over, and what that means'
);
select is(
  (select data from public.alerts where type = 'overage_detected' and data ->> 'metric' = 'tokens'),
  jsonb_build_object(
    'tenant_id', tests.tenant_id('acme'), 'tenant_name', 'acme', 'threshold', 0, 'window_minutes', 1440, 'metric', 'tokens', 'unit', 'token',
    'period', 'day', 'window_start', private.window_start('day', tests.noon()), 'resets_at', private.window_start('day', tests.noon()) + interval '24 hours',
    'usage', '{"current": 10250, "quota": 10000, "percentage": 102.5}'::jsonb, 'overage', 250
  ),
  'its data are the facts'
);
select is(
  (select (data -> 'window_start', data -> 'resets_at', data -> 'overage')::text from public.alerts where title = 'Workflows Usage Warning'), '(null,null,)',
  'a stock has no window'
);
select results_eq(
  $$ select tenant_id, status::text, occurrences, action_required, opened_at, last_occurred_at, resolved_at, cleared_at from public.alerts
     where title = 'Tokens Usage Critical' $$,
  $$ values (tests.tenant_id('acme'), 'open', 1, false, tests.noon(), tests.noon(), null::timestamptz, null::timestamptz) $$,
  'it is the tenant''s, in its time'
);
select is((select count(distinct dedup_key) from public.alerts), 7::bigint, 'each is about something else');
select is(private.metric_label('api_calls') || private.metric_label('run_minutes'), 'API callsrun minutes', 'a metric''s name as one says it');
select is(private.metric_title('run_minutes'), 'Run Minutes', 'and in a title');

select * from finish();
rollback;
