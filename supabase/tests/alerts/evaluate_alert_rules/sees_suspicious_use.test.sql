begin;
select plan(28);

select tests.create_user(u) from unnest(array['mallory', 'trudy', 'root']) u;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
delete from public.audit_events where occurred_at < 'infinity' and severity = 'critical';
create function pg_temp.watch(p_type text, p_threshold numeric default null, p_window int default null) returns void language sql as $$
  delete from public.alert_rules;
  delete from public.alerts;
  insert into public.alert_rules (name, type, threshold, window_minutes) values ('r', p_type, p_threshold, p_window);
$$;
create function pg_temp.opened(p_after interval default '0') returns int language sql as $$ select opened from evaluate_alert_rules(now() + p_after) $$;
create function pg_temp.seen() returns text language sql as $$
  select string_agg(concat_ws(' ', severity, action_required, title || ':', message, data - 'threshold' - 'window_minutes'), '; ') from public.alerts
$$;

-- Checkouts of one address.
create function pg_temp.click(p_count int, p_ip text, p_ago interval default '0', p_apart interval default '0') returns void language sql as $$
  insert into public.checkout_sessions (tenant_id, price_id, ip_address, clicked_at)
  select tests.tenant_id(case i % 2 when 0 then 'acme' else 'globex' end), 'startup_monthly', p_ip::inet, now() - p_ago - i * p_apart from generate_series(1, p_count) i
$$;
select pg_temp.watch('checkout_burst');
select pg_temp.click(10, '1.1.1.1'), pg_temp.click(10, '1.1.1.2'), pg_temp.click(99, null), pg_temp.click(30, '1.1.1.3', p_apart => '6.1 seconds');
select is(pg_temp.opened(), 0, 'ten checkouts a minute from one address are not more than ten, as far apart as they may be, nor is any number from nowhere');
select pg_temp.click(1, '1.1.1.1', '60 seconds 1 microsecond');
select is(pg_temp.opened(), 0, 'nor an eleventh before');
select pg_temp.click(1, '1.1.1.1', '60 seconds');
select is(pg_temp.opened(), 1, 'eleven within the minute are, of whichever tenant');
select is(
  pg_temp.seen(), 'critical t Suspicious Checkouts: 11 checkouts from 1.1.1.1 in 1 minutes. {"checkouts": 11, "ip_address": "1.1.1.1"}', 'with the address'
);
select is(pg_temp.opened(interval '5 minutes' - interval '1 microsecond'), 0, 'a pass sees them for five minutes more');
select is((select status::text from public.alerts), 'open', 'in case it is late');
select is((select resolved from evaluate_alert_rules(now() + interval '5 minutes')), 1, 'then they are over');
select pg_temp.click(11, '2001:db8::1');
select is(pg_temp.opened(), 1, 'another address is another');
select pg_temp.watch('checkout_burst', 10, 2);
select is(pg_temp.opened(), 3, 'by the rule''s own window: 1.1.1.1, 2001:db8::1 and 20 in two minutes of 1.1.1.3');
select pg_temp.watch('checkout_burst', 20, 2);
select is(pg_temp.opened(), 0, 'and threshold');

-- The admin area.
select pg_temp.watch('unauthorized_admin_access');
select tests.act_as_user('root');
select enter_admin_area('/admin');
select tests.act_as_owner();
select is(pg_temp.opened(), 0, 'a platform admin may enter');
select tests.act_as_user('mallory');
select enter_admin_area('/admin');
select tests.act_as_user('trudy');
select enter_admin_area('/admin/plans');
select tests.act_as_owner();
insert into public.audit_events (event_type, action, entity_type, entity_id, actor_type, actor_id, severity, occurred_at)
select 'admin_access_denied', 'denied', 'admin_area', p, 'tenant', tests.user_id('mallory'), 'warning', now() from unnest(array['/admin', '/admin/users']) p;
select is(pg_temp.opened(), 2, 'each who is none and tries is seen');
select is(
  (select (severity, action_required, title, message, data -> 'attempts', data -> 'paths', data ->> 'actor_id' = tests.user_id('mallory')::text)::text
   from public.alerts where data ->> 'actor_id' = tests.user_id('mallory')::text),
  format('(high,t,"Unauthorized Admin Access","%s tried the admin area. Attempts in the last 60 minutes: 3.",3,"[""/admin"", ""/admin/users""]",t)', tests.user_id('mallory')),
  'with what they tried'
);
select pg_temp.watch('unauthorized_admin_access', 2);
select is(pg_temp.opened(), 1, 'by the rule''s own threshold');
select pg_temp.watch('unauthorized_admin_access', 3);
select is(pg_temp.opened(), 0, 'more often than that');
select pg_temp.watch('unauthorized_admin_access');
select is(pg_temp.opened(interval '60 minutes' - interval '1 microsecond'), 2, 'within the hour');
select is((select resolved from evaluate_alert_rules(now() + interval '60 minutes')), 2, 'not longer');

-- Critical events of the audit, but those that an application tells of users.
select pg_temp.watch('critical_audit_event');
insert into public.audit_events (event_type, action, actor_type, actor_id, severity, source) values ('told', 'x', 'tenant', 'u', 'critical', 'application');
select private.audit(null, 'x_happened', 'x', p_severity => 'error'), private.audit(tests.tenant_id('acme'), 'x_happened', 'x', p_severity => 'warning');
select is(pg_temp.opened(), 0, 'an error is not critical');
select private.audit(tests.tenant_id('acme'), 'x_happened', 'x', p_severity => 'critical');
select is(pg_temp.opened(), 1, 'what is critical is seen');
select is(
  pg_temp.seen(), 'critical t Critical Event: Critical events in the last 60 minutes: 1. {"events": 1, "event_types": ["x_happened"]}', 'with what it was'
);
select private.audit(null, 'y_happened', 'y', p_severity => 'critical');
select is(pg_temp.opened(), 0, 'another');
select is((select (occurrences, data -> 'event_types')::text from public.alerts), '(2,"[""x_happened"", ""y_happened""]")', 'is an occurrence');
select is((select resolved from evaluate_alert_rules(now() + interval '60 minutes')), 1, 'after an hour they are over');
select pg_temp.watch('critical_audit_event', 2);
select is(pg_temp.opened(), 0, 'two are not more than two');
insert into public.audit_events (event_type, action, actor_type, severity, source) values ('told_by_the_system', 'x', 'system', 'critical', 'application');
select is(pg_temp.opened(), 1, 'what an application tells of itself is');
insert into public.audit_events (event_type, action, actor_type, severity) select 'type_' || i, 'x', 'system', 'critical' from generate_series(1, 20) i;
select pg_temp.opened();
select is((select jsonb_array_length(data -> 'event_types') from public.alerts), 10, 'ten types are named');
insert into public.audit_events (event_type, action, entity_id, actor_type, actor_id) select 'admin_access_denied', 'denied', '/' || i, 'tenant', tests.user_id('mallory') from generate_series(1, 20) i;
select pg_temp.watch('unauthorized_admin_access', 9);
select pg_temp.opened();
select is((select (data -> 'attempts', jsonb_array_length(data -> 'paths'))::text from public.alerts), '(23,10)', 'and ten paths');
select pg_temp.watch('critical_audit_event', 22);
select pg_temp.watch('critical_audit_event', 22, 61);
select is(pg_temp.opened('60 minutes'), 1, 'within the rule''s own window');

select * from finish();
rollback;
