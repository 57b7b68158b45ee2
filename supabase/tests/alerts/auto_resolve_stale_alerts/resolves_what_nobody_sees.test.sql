begin;
select plan(20);

update public.alert_rules set enabled = false;
select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'ahead']) t;
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
update public.tenants set clock_offset = '10 days' where id = tests.tenant_id('ahead');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}');
insert into public.alerts (tenant_id, type, severity, title, message, dedup_key, status, last_occurred_at, resolved_at)
select tests.tenant_id(t), 'usage_threshold', 'medium', n, n, n, s::public.alert_status, now() + l, case s when 'resolved' then now() end
from (values
  ('a week', 'acme', 'open', interval '-7 days'), ('more', 'acme', 'open', interval '-7 days -1 microsecond'), ('less', 'acme', 'open', interval '-6 days'),
  ('known', 'acme', 'acknowledged', interval '-8 days'), ('resolved', 'acme', 'resolved', interval '-8 days'),
  ('ahead', 'ahead', 'open', interval '3 days -1 second'), ('ahead less', 'ahead', 'open', interval '3 days 1 second'), ('operators', null, 'open', interval '-8 days')
) alerts (n, t, s, l);
insert into public.alerts (type, severity, title, message, dedup_key, last_occurred_at, action_required) values ('system_error', 'critical', 'act', 'm', 'act', now() - interval '1 year', true);
insert into public.alert_notifications (tenant_id, alert_id, channel_id, kind)
select a.tenant_id, a.id, c.id, 'alert' from public.alerts a, public.alert_channels c where a.title in ('more', 'less');

select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of('select auto_resolve_stale_alerts()'), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_anon();
select is(tests.error_of('select auto_resolve_stale_alerts()'), '42501', 'nor anon');
select tests.act_as_user('root');
select is(tests.error_of(format('select auto_resolve_stale_alerts(%s)', v)), 'PT400 invalid_max_age', 'alerts are not stale at once: ' || v)
from unnest(array['''0''', '''-1 day''', 'null']) v;
select is(auto_resolve_stale_alerts(), 4, 'a platform admin resolves what was seen last more than a week ago');
select tests.act_as_owner();
select set_eq(
  $$ select title from public.alerts where resolution_note is not null $$, array['more', 'known', 'ahead', 'operators'],
  'of every tenant, in its time, acknowledged or not, and the operator''s'
);
select results_eq(
  $$ select distinct status::text, resolved_by, resolution_note, resolved_at = private.alert_now(tenant_id), cleared_at from public.alerts where resolution_note is not null $$,
  $$ values ('resolved', 'system', 'Nothing new was seen for a long time.', true, null::timestamptz) $$, 'by the system, in its time, the episode going on'
);
select results_eq(
  $$ select a.title, n.payload ->> 'event' from public.alert_notifications n join public.alerts a on a.id = n.alert_id where n.payload <> '{}' $$,
  $$ values ('more', 'resolved') $$, 'which is told to who was told'
);
select is(auto_resolve_stale_alerts(), 0, 'once');
select tests.act_as_service_role();
select is(auto_resolve_stale_alerts('7 days -1 microsecond'), 1, 'one may say how long');
select is(auto_resolve_stale_alerts('1 day'), 2, 'less resolves more');
select is((select count(*) from public.alerts where status <> 'resolved' and not action_required), 0::bigint, 'all of them');
select is((select status::text from public.alerts where action_required), 'open', 'but what requires an action stays, however old');

-- What is resolved as stale does not open again while its condition holds.
select tests.act_as_owner();
delete from public.alerts;
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'r', 'quota_warning');
select consume_quota(tests.tenant_id('acme'), 'workflows', 1);
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 1);
select is((select opened from evaluate_alert_rules()), 1, 'a condition');
update public.alerts set last_occurred_at = now() - interval '8 days';
select is(auto_resolve_stale_alerts(), 1, 'of which nothing new is seen');
select is((select opened from evaluate_alert_rules()), 0, 'is told no more while it holds');
select is((select status::text from public.alerts), 'resolved', 'and stays resolved');
update private.quota_counters set used = 0;
select is((select resolved from evaluate_alert_rules()), 0, 'its end is not a resolution');
select isnt((select cleared_at from public.alerts), null, 'but the end of the episode');

select * from finish();
rollback;
