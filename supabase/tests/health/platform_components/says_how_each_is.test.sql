begin;
select plan(52);

delete from private.stripe_calls;
delete from public.stripe_events;
delete from public.alert_notifications;
delete from public.alerts;
create function pg_temp.part(p_name text) returns jsonb language sql as $$ select private.platform_components() -> p_name $$;
create function pg_temp.status(p_name text) returns text language sql as $$ select pg_temp.part(p_name) ->> 'status' $$;

select set_eq('select jsonb_object_keys(private.platform_components())', array['database', 'stripe', 'webhooks', 'schedules', 'outbox', 'alerts'], 'six parts');

-- Stripe.
create function pg_temp.called(p_ago interval, p_succeeded int, p_failed int, p_error text default null) returns void language sql as $$
  insert into private.stripe_calls (minute, succeeded, failed, last_error) values (now() - p_ago, p_succeeded, p_failed, p_error)
$$;
select is(pg_temp.part('stripe'), '{"status": "healthy", "last_ok_at": null, "last_error_at": null, "last_error": null, "errors_last_hour": 0}', 'Stripe that was not called is well');
select pg_temp.called('60 minutes', 0, 99, 'long ago');
select is(pg_temp.status('stripe'), 'healthy', 'what failed an hour ago is over');
select is((pg_temp.part('stripe') ->> 'last_error_at')::timestamptz, now() - interval '60 minutes', 'though it is known');
select pg_temp.called(interval '60 minutes' - interval '1 microsecond', 0, 1, 'later');
select is(pg_temp.status('stripe'), 'degraded', 'a call that failed within the hour degrades it');
select pg_temp.called('50 minutes', 0, 1);
select is(pg_temp.status('stripe'), 'degraded', 'so do two');
select pg_temp.called('40 minutes', 0, 1);
select is(pg_temp.status('stripe'), 'unhealthy', 'three without a success are unhealthy');
select is(pg_temp.part('stripe') - 'last_error_at', '{"status": "unhealthy", "last_ok_at": null, "last_error": "later", "errors_last_hour": 3}', 'with the last of which it is known why');
select pg_temp.called('45 minutes', 1, 0);
select is(pg_temp.status('stripe'), 'degraded', 'a success five minutes before the last failure');
update private.stripe_calls set minute = minute - interval '1 microsecond' where succeeded = 1;
select is(pg_temp.status('stripe'), 'unhealthy', 'no earlier');
select pg_temp.called('30 minutes', 1, 0);
select is(pg_temp.status('stripe'), 'degraded', 'one after it is as good');
select is((pg_temp.part('stripe') ->> 'last_ok_at')::timestamptz, now() - interval '30 minutes', 'and said');
update private.stripe_calls set minute = minute - interval '1 day';
select is(pg_temp.part('stripe'), '{"status": "healthy", "last_ok_at": null, "last_error_at": null, "last_error": null, "errors_last_hour": 0}', 'a day later nothing is known');

-- Webhooks.
create function pg_temp.event(p_count int, p_status text default 'processed', p_ago interval default '1 minute', p_type text default 'invoice.paid') returns void language sql as $$
  insert into public.stripe_events (id, type, is_final, occurred_at, payload, status, received_at)
  select 'evt_' || gen_random_uuid(), p_type, false, now(), '{}', p_status::public.stripe_event_status, now() - p_ago from generate_series(1, p_count)
$$;
select is(
  pg_temp.part('webhooks'), '{"status": "healthy", "last_received_at": null, "received": 0, "failed": 0, "unapplied": 0, "success_rate": null}', 'without webhooks no rate is known'
);
select pg_temp.event(19), pg_temp.event(1, 'failed');
select is(pg_temp.part('webhooks') - 'last_received_at', '{"status": "healthy", "received": 20, "failed": 1, "unapplied": 0, "success_rate": 0.95}', '5 % that fail are well');
select pg_temp.event(1, 'failed', p_type => 'meterbase.reconciled'), pg_temp.event(1, 'processed', '60 minutes');
select is((pg_temp.part('webhooks') ->> 'received')::int, 20, 'of what Stripe told in the last hour');
select pg_temp.event(1, 'failed');
select is(pg_temp.part('webhooks') - 'last_received_at', '{"status": "degraded", "received": 21, "failed": 2, "unapplied": 0, "success_rate": 0.9048}', 'more are not');
update public.stripe_events set duplicates = 19 where id = (select id from public.stripe_events where type = 'invoice.paid' and received_at > now() - interval '1 hour' limit 1);
select is(pg_temp.part('webhooks') - 'last_received_at', '{"status": "healthy", "received": 40, "failed": 2, "unapplied": 0, "success_rate": 0.95}', 'what came again came as well');
select is((pg_temp.part('webhooks') ->> 'last_received_at')::timestamptz, now() - interval '1 minute', 'and when the last came');
delete from public.stripe_events;
select pg_temp.event(99), pg_temp.event(1, 'failed', '5 minutes');
select is(pg_temp.status('webhooks'), 'healthy', 'one may be unapplied for five minutes');
select pg_temp.event(1, 'failed', '5 minutes 1 microsecond');
select is(pg_temp.status('webhooks') || (pg_temp.part('webhooks') ->> 'unapplied'), 'degraded1', 'not longer');
update public.stripe_events set received_at = now() - interval '2 days' where status = 'failed';
select is(pg_temp.status('webhooks') || (pg_temp.part('webhooks') ->> 'unapplied'), 'degraded2', 'however long ago it was');

-- Outbox.
create function pg_temp.put(p_status public.notification_status, p_due interval, p_lane text default 'email') returns void language sql as $$
  insert into public.alert_notifications (kind, lane, status, next_attempt_at, locked_until, sent_at)
  values ('alert', p_lane, p_status, now() - p_due, case p_status when 'sending' then now() end, case p_status when 'sent' then now() end)
$$;
select is(pg_temp.part('outbox'), '{"status": "healthy", "pending": 0, "dead": 0, "oldest_due_seconds": null}', 'an empty outbox is well');
select pg_temp.put('pending', '-1 hour'), pg_temp.put('sending', '2 hours'), pg_temp.put('sent', '2 hours'), pg_temp.put('dead', '2 hours');
select is(pg_temp.part('outbox'), '{"status": "healthy", "pending": 2, "dead": 1, "oldest_due_seconds": null}', 'what is not due does not wait, nor what is under way or over');
select pg_temp.put('failed', '300 seconds'), pg_temp.put('pending', '100 seconds');
select is(pg_temp.part('outbox'), '{"status": "healthy", "pending": 4, "dead": 1, "oldest_due_seconds": 300}', 'what is due may wait for five minutes');
select pg_temp.put('pending', '301 seconds');
select is(pg_temp.status('outbox'), 'degraded', 'longer is degraded');
select pg_temp.put('pending', '1800 seconds');
select is(pg_temp.status('outbox'), 'degraded', 'up to half an hour');
select pg_temp.put('failed', '1801 seconds');
select is(pg_temp.status('outbox'), 'unhealthy', 'then it is unhealthy');
insert into private.failing_lanes (lane, failures, retry_at) values ('c', 1, now()), ('email', 1, now()), ('email:t', 1, now());
select is(pg_temp.status('outbox'), 'unhealthy', 'mails that fail are the platform''s');
update public.alert_notifications set lane = 'email:t';
select is(pg_temp.status('outbox'), 'unhealthy', 'those of alerts as well');
update public.alert_notifications set lane = 'c';
select is(pg_temp.status('outbox'), 'healthy', 'of a channel that fails, that is the channel''s doing');

-- Alerts.
create function pg_temp.alert(p_severity text, p_tenant uuid default null, p_type text default 'checkout_burst', p_status text default 'open') returns void language sql as $$
  insert into public.alerts (tenant_id, type, severity, title, message, dedup_key, status, resolved_at)
  values (p_tenant, p_type, p_severity::public.alert_severity, 't', 'm', gen_random_uuid(), p_status::public.alert_status, case p_status when 'resolved' then now() end)
$$;
select is(pg_temp.part('alerts'), '{"status": "healthy", "open": 0, "critical": 0}', 'without alerts all is well');
select tests.create_tenant('acme', 'free');
select pg_temp.alert('high'), pg_temp.alert('critical', p_status => 'resolved'), pg_temp.alert('critical', tests.tenant_id('acme')), pg_temp.alert('critical', p_type => 'system_error');
select is(pg_temp.part('alerts'), '{"status": "healthy", "open": 3, "critical": 2}', 'a tenant''s are counted, and the one that says that the platform is out of order');
select pg_temp.alert('critical', p_status => 'acknowledged');
select is(pg_temp.part('alerts'), '{"status": "degraded", "open": 4, "critical": 3}', 'a critical one of the operator''s degrades');

-- Database: as many as can connect.
select is(
  (pg_temp.part('database') ->> 'max_connections')::int, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, 'connections that there may be'
);
select cmp_ok((pg_temp.part('database') ->> 'connections')::int, '>=', 1, 'and those that there are');
select is(pg_temp.status('database'), 'healthy', 'are few');

-- As the worst.
create function pg_temp.overall(variadic p_statuses text[]) returns text language sql as $$
  select private.overall_status((select jsonb_object_agg(i, jsonb_build_object('status', s)) from unnest(p_statuses) with ordinality s (s, i)))
$$;
select is(pg_temp.overall('healthy', 'healthy'), 'healthy', 'the whole is as its parts');
select is(pg_temp.overall('healthy', 'degraded', 'healthy'), 'degraded', 'as the worst of them');
select is(pg_temp.overall('degraded', 'unhealthy', 'healthy'), 'unhealthy', 'whichever it is');

-- All of it.
select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of('select get_billing_health()'), 'PT403 platform_admin_only', 'an owner does not see it');
select tests.act_as_anon();
select is(tests.error_of('select get_billing_health()'), '42501', 'nor anon');
select tests.act_as_service_role();
select is(tests.error_of('select get_billing_health()'), null, 'the service role does');
select tests.act_as_user('root');
select is(get_billing_health() - 'components' - 'uptime', jsonb_build_object('status', 'degraded', 'checked_at', now()), 'a platform admin does');
create temp table health as select get_billing_health() as h;
select tests.act_as_owner();
select is((select h -> 'components' from health), private.platform_components(), 'with its parts');
delete from private.health_samples;
insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values
  (now() - interval '2 days', 'unhealthy', '{}', 0, 0), (now() - interval '24 hours', 'healthy', '{}', 0, 0), (now() - interval '31 days', 'healthy', '{}', 0, 0);
select is(get_billing_health() -> 'uptime', jsonb_build_object('last_24_hours', private.uptime(now() - interval '24 hours'), 'last_30_days', private.uptime(now() - interval '30 days')), 'and how long it was up');
select is(get_billing_health() #>> '{uptime,last_24_hours}', '0.00104', 'of a day');
select is(get_billing_health() #>> '{uptime,last_30_days}', '0.00003', 'and of thirty');
delete from public.alert_notifications; delete from private.stripe_calls; delete from public.stripe_events;
insert into public.alert_notifications (kind, next_attempt_at) values ('alert', now() - interval '1 hour');
select is(get_billing_health() ->> 'status', 'unhealthy', 'it is as its worst part');
delete from public.alert_notifications; delete from public.alerts;
select is(get_billing_health() ->> 'status', 'healthy', 'when all are well, so is the whole');
delete from private.health_samples;
select is(get_billing_health() -> 'uptime', '{"last_24_hours": null, "last_30_days": null}', 'without samples nothing is known of before');
select is(private.overall_status('{"a": {"status": "degraded"}, "b": {"status": "unhealthy"}}'), 'unhealthy', 'unhealthy is worse than degraded');

select * from finish();
rollback;
