begin;
select plan(48);

select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
update public.alert_rules set enabled = false;
create function pg_temp.score() returns text language sql as $$ select score || ' ' || grade from calculate_billing_health_score(tests.tenant_id('acme')) $$;
create function pg_temp.part(p_name text) returns jsonb language sql as $$ select components -> p_name from calculate_billing_health_score(tests.tenant_id('acme')) $$;
-- Quota: of 10,000 tokens a day.
create function pg_temp.used(p_used bigint, p_tenant text default 'acme') returns void language sql as $$
  insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
  values (tests.tenant_id(p_tenant), 'tokens', 'day', '', private.window_start('day', private.tenant_now(tests.tenant_id(p_tenant))), p_used)
  on conflict (tenant_id, metric, period, subject) do update set used = excluded.used, window_start = excluded.window_start
$$;
-- Calls, so many of which failed, in the hour so many before the one under way.
create function pg_temp.calls(p_total int, p_failed int, p_hours int default 0, p_tenant text default 'acme') returns void language sql as $$
  insert into public.tenant_usage_metrics
  select (jsonb_populate_record(null::public.tenant_usage_metrics, to_jsonb(private.summarize_usage(
    tests.tenant_id(p_tenant), 'hourly', date_trunc('hour', private.tenant_now(tests.tenant_id(p_tenant)), 'UTC') - p_hours * interval '1 hour', null, null
  )) || jsonb_build_object('metric_id', gen_random_uuid(), 'api_calls_total', p_total, 'api_calls_failed', p_failed))).*
  on conflict (tenant_id, period_type, period_start) do update set api_calls_total = excluded.api_calls_total, api_calls_failed = excluded.api_calls_failed
$$;
create function pg_temp.invoice(p_id text, p_status text, p_failed int, p_ago interval default '1 day', p_tenant text default 'acme') returns void language sql as $$
  insert into public.invoices (tenant_id, stripe_invoice_id, status, currency, total, amount_due, amount_paid, amount_remaining, attempt_count, period_start, period_end, created_at)
  select tests.tenant_id(p_tenant), p_id, p_status, 'usd', 1, 1, 0, 1, p_failed, now(), now(), now() where p_status is not null;
  insert into public.payments (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
  select tests.tenant_id(p_tenant), p_id, i, 'failed', p_id || i, 1, 'usd', private.tenant_now(tests.tenant_id(p_tenant)) - p_ago from generate_series(1, p_failed) i
$$;
create function pg_temp.alert(p_severity text, p_status text default 'open', p_tenant text default 'acme') returns void language sql as $$
  insert into public.alerts (tenant_id, type, severity, title, message, dedup_key, status, resolved_at)
  values (tests.tenant_id(p_tenant), 'cost_spike', p_severity::public.alert_severity, 't', 'm', gen_random_uuid(), p_status::public.alert_status, case p_status when 'resolved' then now() end)
$$;
create function pg_temp.reset() returns void language sql as $$
  delete from private.quota_counters; delete from public.tenant_usage_metrics; delete from public.invoices; delete from public.payments; delete from public.alerts
$$;

select is(pg_temp.score(), '100 A', 'a tenant of which nothing is known is well');
select is(
  (select components from calculate_billing_health_score(tests.tenant_id('acme'))),
  '{"payments": {"weight": 40, "score": 100, "unpaid_invoices": 0, "failed_payments": 0}, "quota": {"weight": 25, "score": 100, "highest_percentage": 0},
    "errors": {"weight": 20, "score": 100, "error_rate": null}, "alerts": {"weight": 15, "score": 100, "critical": 0, "high": 0, "other": 0}}'::jsonb
    || case when exists (select from private.quota_counters) then '{}'::jsonb else '{"quota": {"weight": 25, "score": 100, "highest_percentage": null}}' end,
  'and says of what that is made'
);

-- Payments: 40 % of 100, less 40 for each open invoice with a failed payment, less 10 for each other.
select pg_temp.invoice('open without', 'open', 0), pg_temp.invoice('long ago', 'paid', 3, '30 days'), pg_temp.invoice('x', 'open', 2, p_tenant => 'globex');
select is(pg_temp.score(), '100 A', 'an open invoice is nothing, nor what failed thirty days ago, nor another tenant''s');
select pg_temp.invoice('a', 'open', 3);
select is(pg_temp.score(), '84 B', 'one that failed, however often: 100 - 0.4 × 40');
update public.payments set occurred_at = now() - interval '100 days' where stripe_invoice_id = 'a';
select is(pg_temp.score(), '84 B', 'and however long ago');
select pg_temp.invoice('b', 'paid', 1, interval '30 days' - interval '1 microsecond');
select is(pg_temp.score(), '80 B', 'another that failed and was paid: 100 - 0.4 × 50');
select pg_temp.invoice('c', null, 1);
select is(pg_temp.score(), '76 C', 'or of which there is no invoice: 100 - 0.4 × 60');
select is(pg_temp.part('payments'), '{"weight": 40, "score": 40, "unpaid_invoices": 1, "failed_payments": 2}', 'each is counted');
select pg_temp.invoice('d', 'open', 1);
select is(pg_temp.score(), '60 D', 'at most forty percent: 100 - 0.4 × 100');
select pg_temp.invoice('e', 'open', 1);
select is(pg_temp.score(), '60 D', 'no more');

-- Quota: 25 % of 100 up to 75 % of the tightest limit, falling to 0 at 100 %.
select pg_temp.reset();
select pg_temp.used(7500), pg_temp.used(10000, 'globex');
select is(pg_temp.score(), '100 A', 'three quarters of a limit are well');
select pg_temp.used(7501);
select is(pg_temp.part('quota'), '{"weight": 25, "score": 100, "highest_percentage": 75.01}', 'more is less');
select pg_temp.used(8000);
select is(pg_temp.score(), '95 A', '80 %: 100 - 0.25 × 20');
select pg_temp.used(9000);
select is(pg_temp.score(), '85 B', '90 %: 100 - 0.25 × 60');
select pg_temp.used(10000);
select is(pg_temp.score(), '75 C', '100 %: 100 - 0.25 × 100');
select pg_temp.used(20000);
select is(pg_temp.score(), '75 C', 'beyond is no worse');
select is(pg_temp.part('quota'), '{"weight": 25, "score": 0, "highest_percentage": 200.00}', 'though it is said');
select pg_temp.used(9000);
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used) values
  (tests.tenant_id('acme'), 'chat_messages', 'day', '', private.window_start('day', now()), 95), (tests.tenant_id('acme'), 'api_calls', 'minute', '', private.window_start('minute', now()), 30),
  (tests.tenant_id('acme'), 'embeddings', 'day', '', private.window_start('day', now()) - interval '1 day', 50);
select is(pg_temp.score(), '80 B', 'the tightest counts: 95 %, not a minute''s or yesterday''s');
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 10);
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used) values (tests.tenant_id('acme'), 'workflows', 'none', '', '-infinity', 10);
select is(pg_temp.score(), '75 C', 'or a stock');
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 0);
select is(pg_temp.score(), '80 B', 'nothing is no share of nothing');

-- Errors: 20 % of 100, falling to 0 at 10 %.
select pg_temp.reset();
select pg_temp.calls(100, 0), pg_temp.calls(100, 100, p_tenant => 'globex'), pg_temp.calls(100, 100, 25);
select is(pg_temp.score(), '100 A', 'calls that succeed are well; what failed a day ago is over');
select pg_temp.calls(100, 5);
select is(pg_temp.score(), '90 A', '5 % that failed: 100 - 0.2 × 50');
select is(pg_temp.part('errors'), '{"weight": 20, "score": 50, "error_rate": 0.0500}', 'with the rate');
select pg_temp.calls(100, 10);
select is(pg_temp.score(), '80 B', '10 %: 100 - 0.2 × 100');
select pg_temp.calls(100, 100);
select is(pg_temp.score(), '80 B', 'all of them are no worse');
select pg_temp.calls(100, 5), pg_temp.calls(300, 1, 24);
select is(pg_temp.score(), '97 A', 'of a day: 6 of 400, 100 - 0.2 × 15');

-- Alerts: 15 % of 100, less 50, 25 or 10.
select pg_temp.reset();
select pg_temp.alert('critical', 'resolved'), pg_temp.alert('critical', p_tenant => 'globex');
select is(pg_temp.score(), '100 A', 'what is resolved is well, and another tenant''s is not its');
select pg_temp.alert('low');
select is(pg_temp.score(), '99 A', 'a low one: 100 - 0.15 × 10, rounded');
select pg_temp.alert('medium');
select is(pg_temp.score(), '97 A', 'a medium one as much');
select pg_temp.alert('high', 'acknowledged');
select is(pg_temp.score(), '93 A', 'a high one, though somebody looks after it: 100 - 0.15 × 45');
select pg_temp.alert('critical');
select is(pg_temp.score(), '86 B', 'a critical one: 100 - 0.15 × 95');
select is(pg_temp.part('alerts'), '{"weight": 15, "score": 5, "critical": 1, "high": 1, "other": 2}', 'each is counted');
select pg_temp.alert('critical');
select is(pg_temp.score(), '85 B', 'at most fifteen percent');

-- Grades.
select pg_temp.reset();
select pg_temp.used(8520), pg_temp.calls(1000, 0);
select is(pg_temp.score(), '90 A', 'A from 90: 100 - 0.25 × 40.8 = 89.8');
select pg_temp.used(8560);
select is(pg_temp.score(), '89 B', 'B below: 100 - 0.25 × 42.4 = 89.4');
select pg_temp.used(9520);
select is(pg_temp.score(), '80 B', 'to 80: 100 - 0.25 × 80.8 = 79.8');
select pg_temp.used(9560);
select is(pg_temp.score(), '79 C', 'C below');
select pg_temp.used(10000), pg_temp.calls(100, 2);
select is(pg_temp.score(), '71 C', '100 - 25 - 0.2 × 20');
select pg_temp.calls(1000, 27);
select is(pg_temp.score(), '70 C', 'to 70');
select pg_temp.calls(1000, 28);
select is(pg_temp.score(), '69 D', 'D below');
select pg_temp.calls(1000, 75);
select is(pg_temp.score(), '60 D', 'to 60');
select pg_temp.calls(1000, 80);
select is(pg_temp.score(), '59 F', 'F below');
select pg_temp.invoice('a', 'open', 1), pg_temp.invoice('b', 'open', 1), pg_temp.invoice('c', 'open', 1), pg_temp.calls(1, 1), pg_temp.alert('critical'), pg_temp.alert('critical');
select is(pg_temp.score(), '0 F', 'nothing is well');

-- Who may ask.
select tests.create_user(u) from unnest(array['adam', 'olga', 'stan', 'root']) u;
update public.tenants set plan_id = 'unlimited';
select tests.add_member('acme', 'adam', 'admin'), tests.add_member('acme', 'olga', 'owner'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault() returns text language sql as $$ select tests.error_of(format('select calculate_billing_health_score(%L)', tests.tenant_id('acme'))) $$;
select tests.act_as_user('adam');
select is(pg_temp.fault(), 'PT403 permission_denied', 'an admin lacks billing:read');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner, too, with a forged token as well');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not');
select tests.act_as_user('olga');
select is(pg_temp.fault(), null, 'an owner may');
select tests.act_as_service_role();
select is(tests.error_of('select calculate_billing_health_score(gen_random_uuid())'), 'PT404 tenant_not_found', 'of a tenant that exists');

select * from finish();
rollback;
