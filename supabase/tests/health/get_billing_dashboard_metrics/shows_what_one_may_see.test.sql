begin;
select plan(25);

select tests.create_user(u) from unnest(array['vera', 'olga', 'stan', 'root']) u;
select tests.create_tenant(t, 'pro') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'olga', 'owner'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
update public.alert_rules set enabled = false;
select tests.set_clock('acme'); -- noon of the 10th
create function pg_temp.record(p_ago interval, p_tokens int, p_cost numeric, p_code int default 200, p_tenant text default 'acme') returns void language sql as $$
  select record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', 'api_call', 'tokens_consumed', p_tokens, 'cost_usd', p_cost, 'api_status_code', p_code,
    'event_timestamp', private.tenant_now(tests.tenant_id(p_tenant)) - p_ago
  )))
$$;
select pg_temp.record('1 minute', 10, 0.5), pg_temp.record('12 hours', 20, 1, 500), pg_temp.record('12 hours 1 second', 40, 2), pg_temp.record('9 days 12 hours', 80, 4),
  pg_temp.record('9 days 12 hours 1 second', 160, 8), pg_temp.record('0', 1000, 1000, p_tenant => 'globex');
select aggregate_usage_metrics();
select pg_temp.record('0', 5, 0.25);
select consume_quota(tests.tenant_id('acme'), 'tokens', 400000);
select grant_credits(tests.tenant_id('acme'), 50, 'Sorry.');
insert into public.alerts (tenant_id, type, severity, title, message, dedup_key, status, resolved_at)
select tests.tenant_id(t), 'cost_spike', s::public.alert_severity, 't', 'm', gen_random_uuid(), u::public.alert_status, case u when 'resolved' then now() end
from (values ('acme', 'critical', 'open'), ('acme', 'high', 'acknowledged'), ('acme', 'medium', 'open'), ('acme', 'low', 'open'), ('acme', 'low', 'open'), ('acme', 'critical', 'resolved'),
  ('globex', 'critical', 'open')) a (t, s, u);
insert into public.invoices (tenant_id, stripe_invoice_id, status, currency, total, amount_due, amount_paid, amount_remaining, attempt_count, period_start, period_end, created_at)
select tests.tenant_id('acme'), s, s, 'usd', 1, 1, 0, 1, 0, now(), now(), now() from unnest(array['open', 'paid', 'void']) s;
create function pg_temp.shown() returns jsonb language sql as $$ select get_billing_dashboard_metrics(tests.tenant_id('acme')) $$;
create function pg_temp.keys() returns text language sql as $$ select string_agg(k, ' ' order by k) from jsonb_object_keys(pg_temp.shown()) k $$;

select tests.act_as_user('olga');
select is(pg_temp.keys(), 'alerts as_of credits health month plan_id previous_month quotas subscription tenant_id today unpaid_invoices', 'an owner sees all of it');
select is(pg_temp.shown() - array['alerts', 'credits', 'health', 'month', 'previous_month', 'quotas', 'subscription', 'today', 'unpaid_invoices'],
  jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'plan_id', 'pro', 'as_of', tests.noon()), 'of their tenant, in its time');
select is(pg_temp.shown() -> 'today', '{"api_calls": 3, "tokens": 35, "cost_usd": 1.75, "errors": 1, "error_rate": 0.3333}', 'today, with what came since the roll-up');
select is(pg_temp.shown() -> 'month', '{"api_calls": 5, "tokens": 155, "cost_usd": 7.75, "errors": 1, "error_rate": 0.2}'::jsonb || '{"error_rate": 0.2000}', 'this month');
select is(pg_temp.shown() -> 'previous_month', '{"api_calls": 1, "tokens": 160, "cost_usd": 8, "errors": 0, "error_rate": 0}'::jsonb || '{"error_rate": 0.0000}', 'and the one before');
select is(
  (select (q -> 'metric', q -> 'used', q -> 'limit_value', q -> 'band')::text from jsonb_array_elements(pg_temp.shown() -> 'quotas') q where q ->> 'metric' = 'tokens'),
  '("""tokens""",400000,500000,"""warning""")', 'quotas as they stand'
);
select is(jsonb_array_length(pg_temp.shown() -> 'quotas'), (select count(*)::int from get_quota_status(tests.tenant_id('acme'))), 'all of them');
select is(pg_temp.shown() -> 'credits', '50', 'credits');
select is(pg_temp.shown() -> 'alerts', '{"open": 5, "critical": 1, "high": 1, "medium": 1, "low": 2}', 'alerts that are not resolved');
select is(pg_temp.shown() -> 'unpaid_invoices', '1', 'open invoices');
select is(pg_temp.shown() -> 'subscription', (select to_jsonb(s) from get_subscription(tests.tenant_id('acme')) s), 'the subscription');
select is(pg_temp.shown() -> 'health', (select to_jsonb(h) from calculate_billing_health_score(tests.tenant_id('acme')) h), 'and how healthy it is');
select tests.act_as_user('vera');
select is(pg_temp.keys(), 'alerts as_of credits month plan_id previous_month quotas tenant_id today', 'a viewer sees no money');
select tests.act_as_owner();
delete from public.role_permissions where role = 'viewer' and permission = 'alerts:read';
select tests.act_as_user('vera');
select is(pg_temp.keys(), 'as_of credits month plan_id previous_month quotas tenant_id today', 'without alerts:read no alerts');
select tests.act_as_owner();
delete from public.role_permissions where role = 'viewer' and permission = 'usage:read';
select tests.act_as_user('vera');
select is(tests.error_of('select pg_temp.shown()'), 'PT403 permission_denied', 'without usage:read nothing');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(tests.error_of('select pg_temp.shown()'), 'PT403 permission_denied', 'nor does a stranger, with a forged token neither');
select tests.act_as_anon();
select is(tests.error_of(format('select get_billing_dashboard_metrics(%L)', tests.tenant_id('acme'))), '42501', 'nor anon');
select tests.act_as_user('root');
select matches(pg_temp.keys(), 'health', 'a platform admin sees all');
select is(tests.error_of('select get_billing_dashboard_metrics(gen_random_uuid())'), 'PT404 tenant_not_found', 'of a tenant that exists');
select tests.act_as_service_role();
select is(tests.error_of('select get_billing_dashboard_metrics(gen_random_uuid())'), 'PT404 tenant_not_found', 'the service role as well');
-- A tenant that has nothing.
select tests.act_as_owner();
select tests.create_tenant('empty', 'unlimited');
delete from public.plan_limits where plan_id = 'unlimited';
create temp table empty as select get_billing_dashboard_metrics(tests.tenant_id('empty')) as d;
select is((select d -> 'today' from empty), '{"api_calls": 0, "tokens": 0, "cost_usd": 0, "errors": 0, "error_rate": 0}', 'nothing used is nothing');
select is((select d -> 'quotas' from empty), '[]', 'no limits are none');
select is((select d -> 'credits' from empty), '0', 'nor credits');
select is((select d #>> '{subscription,status}' from empty), 'none', 'nor a subscription');
select is((select d -> 'alerts' from empty), '{"open": 0, "critical": 0, "high": 0, "medium": 0, "low": 0}', 'nor alerts');

select * from finish();
rollback;
