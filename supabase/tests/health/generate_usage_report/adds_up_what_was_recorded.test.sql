begin;
select plan(38);

select tests.create_user(u) from unnest(array['vera', 'stan', 'root']) u;
select tests.create_tenant(t, 'pro') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('globex', 'stan', 'owner');
update public.alert_rules set enabled = false;
select tests.set_clock('acme'); -- noon of the 10th
-- A day of that month.
create function pg_temp.day(p_day numeric) returns timestamptz language sql as $$
  select date_trunc('month', tests.noon(), 'UTC') + (p_day - 1) * interval '24 hours'
$$;
create function pg_temp.record(p_day numeric, p_tokens int, p_cost numeric, p_code int default 200, p_type text default 'chat_message', p_quantity numeric default 1, p_tenant text default 'acme')
returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', p_type, 'tokens_consumed', p_tokens, 'cost_usd', p_cost, 'api_status_code', p_code, 'quantity', p_quantity,
    'event_timestamp', pg_temp.day(p_day)
  )))
$$;
create function pg_temp.report(p_from numeric, p_to numeric) returns jsonb language sql as $$
  select generate_usage_report(tests.tenant_id('acme'), pg_temp.day(p_from), pg_temp.day(p_to))
$$;
update public.tenants set clock_offset = tests.noon() - now() where name = 'globex';
select pg_temp.record(5, 100, 1), pg_temp.record(5.9, 50, 0.5, 500), pg_temp.record(6, 200, 2), pg_temp.record(8, 0, 4, p_type => 'embedding', p_quantity => 7),
  pg_temp.record(3, 10, 1), pg_temp.record(4.99, 10, 1), pg_temp.record(9, 1, 9), pg_temp.record(6, 9999, 999, p_tenant => 'globex');
select aggregate_usage_metrics();
select pg_temp.record(8.5, 3, 0.5);

-- From the 5th to the 8th, wherever in these days the range begins and ends.
create temp table reports as select pg_temp.report(5.3, 8.6) as r;
select is((select r -> 'tenant_id' from reports), to_jsonb(tests.tenant_id('acme')), 'a report is about a tenant');
select is((select (r ->> 'from')::timestamptz from reports), pg_temp.day(5), 'from the beginning of a day');
select is((select (r ->> 'to')::timestamptz from reports), pg_temp.day(9), 'to the end of one');
select is(
  (select r -> 'days' from reports),
  jsonb_build_array(
    jsonb_build_object('day', to_char(pg_temp.day(5) at time zone 'UTC', 'YYYY-MM-DD'), 'api_calls', 2, 'tokens', 150, 'cost_usd', 1.5, 'errors', 1, 'error_rate', 0.5),
    jsonb_build_object('day', to_char(pg_temp.day(6) at time zone 'UTC', 'YYYY-MM-DD'), 'api_calls', 1, 'tokens', 200, 'cost_usd', 2, 'errors', 0, 'error_rate', 0),
    jsonb_build_object('day', to_char(pg_temp.day(8) at time zone 'UTC', 'YYYY-MM-DD'), 'api_calls', 2, 'tokens', 3, 'cost_usd', 4.5, 'errors', 0, 'error_rate', 0)
  ),
  'each day with what was recorded in it, since the roll-up as well'
);
select is((select r -> 'totals' from reports), '{"api_calls": 5, "tokens": 353, "cost_usd": 8, "errors": 1, "error_rate": 0.2}', 'and all of them together');
select is(
  (select r -> 'cost' from reports), '{"total_usd": 8, "daily_average_usd": 2, "previous_usd": 2, "trend_percent": 300, "projected_month_usd": 60}',
  'the cost of a day is a quarter, of thirty days thirty times that, and four times what it was in the four days before'
);
select is((select r -> 'compliance' -> 'data_complete_since' from reports), to_jsonb(pg_temp.day(3)), 'and since when there are data');
select is((select r #>> '{compliance,error_rate}' from reports)::numeric, 0.2, 'the rate of errors');

select aggregate_usage_metrics();
insert into public.tenant_metric_usage (tenant_id, metric, period_type, period_start, quantity) values (tests.tenant_id('acme'), 'workflows', 'daily', pg_temp.day(6), 9);
select set_eq(
  $$ select q ->> 'metric' as metric, (q ->> 'quantity')::numeric as quantity from jsonb_array_elements(pg_temp.report(5.3, 8.6) -> 'metrics') q $$,
  $$ values ('api_calls', 5::numeric), ('chat_messages', 4), ('embeddings', 7), ('tokens', 353) $$, 'how much of each metric, as of the last roll-up'
);

-- Ranges.
select is(pg_temp.report(5, 5) - array['recommendations', 'compliance', 'metrics'], jsonb_build_object(
  'tenant_id', tests.tenant_id('acme'), 'from', pg_temp.day(5), 'to', pg_temp.day(5), 'days', '[]'::jsonb,
  'totals', '{"api_calls": 0, "tokens": 0, "cost_usd": 0, "errors": 0, "error_rate": 0}'::jsonb,
  'cost', '{"total_usd": 0, "daily_average_usd": null, "previous_usd": 0, "trend_percent": null, "projected_month_usd": null}'::jsonb
), 'no time is no usage');
select is((pg_temp.report(5, 6) #>> '{totals,tokens}')::int, 150, 'the day at whose midnight a range ends is not in it');
select is((pg_temp.report(5, 6.0001) #>> '{totals,tokens}')::int, 350, 'a moment later it is');
select is((pg_temp.report(9, 40) ->> 'to')::timestamptz, pg_temp.day(11), 'a report ends with today, in the tenant''s time');
select is((pg_temp.report(1, 40) #>> '{cost,daily_average_usd}')::numeric, 1.9, 'so that days to come are no average: 19 of 10 days');
select is(pg_temp.report(20, 40) -> 'days', '[]', 'what is to come is nothing');
select is((pg_temp.report(20, 40) ->> 'to')::timestamptz, pg_temp.day(20), 'and has no end');
select is(tests.error_of(format('select generate_usage_report(%L, %L, %L)', tests.tenant_id('acme'), f, t)), 'PT400 invalid_range', coalesce(f, 'null') || ' to ' || coalesce(t, 'null'))
from (values ('2026-02-02', '2026-02-01'), (null, '2026-02-01'), ('2026-02-01', null)) ranges (f, t);
select is(tests.error_of('select pg_temp.report(11 - 400, 11)'), null, 'a report is about 400 days');
select is(tests.error_of('select pg_temp.report(11 - 401, 11)'), 'PT400 invalid_range', 'at most');

-- Recommendations.
create function pg_temp.recommended(p_from numeric default 9, p_to numeric default 10) returns text language sql as $$
  select string_agg(concat_ws(' ', r ->> 'code', r ->> 'severity', r ->> 'message'), '; ' order by n)
  from jsonb_array_elements(pg_temp.report(p_from, p_to) -> 'recommendations') with ordinality r (r, n)
$$;
create function pg_temp.used(p_metric text, p_period public.quota_period, p_used bigint) returns void language sql as $$
  insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
  values (tests.tenant_id('acme'), p_metric, p_period, '', private.window_start(p_period, tests.noon()), p_used)
  on conflict (tenant_id, metric, period, subject) do update set used = excluded.used
$$;
select pg_temp.used('tokens', 'day', 399900), pg_temp.used('api_calls', 'minute', 120), pg_temp.used('workflows', 'none', 79);
select is(pg_temp.recommended(2, 3), null, 'below 80 % of each quota nothing is recommended');
select pg_temp.used('tokens', 'day', 400000), pg_temp.used('workflows', 'none', 96);
select is(
  pg_temp.recommended(2, 3),
  'upgrade_plan medium Tokens usage of this day is at 80% of quota. Consider upgrading your plan.; upgrade_plan critical Workflows usage of this plan is at 96% of quota. Consider upgrading your plan.',
  'from 80 % on a greater plan, from 95 % on urgently'
);
select pg_temp.used('tokens', 'day', 474999), pg_temp.used('workflows', 'none', 0);
select pg_temp.used('tokens', 'day', 474900);
select is(pg_temp.recommended(2, 3), 'upgrade_plan medium Tokens usage of this day is at 94.98% of quota. Consider upgrading your plan.', 'not before');
select pg_temp.used('tokens', 'day', 0);
select matches(pg_temp.recommended(5, 7), 'investigate_errors high 33.33% of the calls failed\.$', 'more than 5 % of errors are to be looked at');
select is(pg_temp.recommended(6, 7), null, 'none is none');
select pg_temp.record(6, 0, 0, p_code => 500), pg_temp.record(6, 0, 0) from generate_series(1, 1);
select pg_temp.record(6, 0, 0) from generate_series(1, 17);
select is(pg_temp.recommended(6, 7), null, '5 % of errors are not: 1 of 20');
select pg_temp.record(3, 0, 3), pg_temp.record(9, 0, 1);
-- The 1st and 2nd cost nothing, the 3rd 4.
select is(pg_temp.recommended(3, 4), null, 'after no cost none is much');
-- The 6th cost 2, the 8th 4.5 and the 9th 10.
select is(pg_temp.recommended(9, 10), null, '10 after 4.5 is not 150 % more');
select pg_temp.record(9, 0, 1.25);
select is(pg_temp.recommended(9, 10), 'review_cost_increase high The cost is 150% above the period before. Look at what has changed.', '11.25 is');

-- Compliance.
select is((pg_temp.report(5, 9) -> 'compliance') - array['data_complete_since', 'error_rate'], '{"quota_denials": 0, "overages": [], "failed_payments": 0}', 'nothing is against the rules');
select pg_temp.used('tokens', 'day', 500010);
insert into public.quota_decisions (tenant_id, metric, period, subject, amount, allowed, used, limit_value, window_start, windows, plan_id, is_first, created_at)
select tests.tenant_id(t), 'tokens', 'day', '', 1, false, i, 1, pg_temp.day(d), '[]', 'pro', f, pg_temp.day(d)
from (values ('acme', 5, true, 1), ('acme', 5, false, 2), ('acme', 8.99, true, 3), ('acme', 9, true, 4), ('acme', 4.99, true, 5), ('globex', 6, true, 6)) d (t, d, f, i);
insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
select tests.tenant_id(t), 'in_' || i, 1, s::public.payment_status, 'p', 1, 'usd', pg_temp.day(d)
from (values ('acme', 5, 'failed', 1), ('acme', 6, 'succeeded', 2), ('acme', 9, 'failed', 3), ('acme', 4.99, 'failed', 4), ('globex', 6, 'failed', 5)) p (t, d, s, i);
select is(
  (pg_temp.report(5, 9) -> 'compliance') - array['data_complete_since', 'error_rate'],
  '{"quota_denials": 2, "overages": [{"metric": "tokens", "period": "day", "limit_value": 500000, "used": 500010}], "failed_payments": 1}', 'denials of windows, overages, and payments that failed, in these days'
);

-- Who may ask.
create function pg_temp.fault() returns text language sql as $$ select tests.error_of(format('select generate_usage_report(%L, %L, %L)', tests.tenant_id('acme'), now(), now())) $$;
select tests.act_as_user('vera');
select is(pg_temp.fault(), null, 'a viewer may');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a stranger may not, with a forged token neither');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'nor anon');
select tests.act_as_owner();
delete from public.role_permissions where permission = 'usage:read';
select tests.act_as_user('vera');
select is(pg_temp.fault(), 'PT403 permission_denied', 'nor who lacks usage:read');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role may');
select is(tests.error_of(format('select generate_usage_report(%L, %L, %L)', gen_random_uuid(), now(), now())), 'PT404 tenant_not_found', 'of a tenant that exists');

select * from finish();
rollback;
