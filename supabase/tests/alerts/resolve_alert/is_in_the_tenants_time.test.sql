begin;
select plan(5);

update public.alert_rules set enabled = false;
select tests.create_tenant('acme', 'trial');
update public.tenants set clock_offset = '3 days' where id = tests.tenant_id('acme');
insert into public.alerts (id, tenant_id, type, severity, title, message, dedup_key, last_occurred_at)
select md5(n)::uuid, tests.tenant_id(t), 'usage_threshold', 'medium', n, n, n, private.alert_now(tests.tenant_id(t)) - interval '8 days'
from (values ('a', 'acme'), ('b', 'acme'), ('operators', null), ('stale', null)) alerts (n, t);
select acknowledge_alert(md5(n)::uuid), resolve_alert(md5(n)::uuid) from unnest(array['a', 'operators']) n;
select auto_resolve_stale_alerts();

select results_eq(
  $$ select title, acknowledged_at - now(), resolved_at - now() from public.alerts where title in ('a', 'operators') order by 1 $$,
  $$ values ('a', interval '3 days', interval '3 days'), ('operators', interval '0', interval '0') $$, 'an alert is acknowledged and resolved in the time of whose it is'
);
select results_eq(
  $$ select title, resolved_at - now() from public.alerts where title in ('b', 'stale') order by 1 $$,
  $$ values ('b', interval '3 days'), ('stale', interval '0') $$, 'one that is stale as well'
);
-- And one whose condition is over.
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'r', 'quota_warning');
select consume_quota(tests.tenant_id('acme'), 'tokens', 8000);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 100000);
select is((select resolved from evaluate_alert_rules(now() + interval '1 hour')), 1, 'one whose condition is over');
select is((select (resolved_at - now(), cleared_at - now())::text from public.alerts where rule_id is not null), '("3 days 01:00:00","3 days 01:00:00")', 'is resolved then');
select is((select opened_at - now() from public.alerts where rule_id is not null), interval '3 days', 'as it was opened');

select * from finish();
rollback;
