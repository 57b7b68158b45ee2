begin;
select plan(25);

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
select enter_admin_area(p) from unnest(array['/admin', '/admin', '/admin/users']) p;
select tests.act_as_user('trudy');
select enter_admin_area('/admin/plans');
select tests.act_as_owner();
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

-- Critical events of the audit.
select pg_temp.watch('critical_audit_event');
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
select pg_temp.watch('critical_audit_event', 1, 61);
select is(pg_temp.opened('60 minutes'), 1, 'but more than one');

select * from finish();
rollback;
