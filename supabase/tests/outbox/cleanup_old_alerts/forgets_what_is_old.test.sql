begin;
select plan(6);

insert into public.alert_notifications (kind, recipient, status, created_at, sent_at, locked_until)
select 'alert', format('%s %s', s, d), s, now() - d - interval '1 day' * (s = 'sent')::int, case s when 'sent' then now() - d end, case s when 'sending' then now() end
from unnest(enum_range(null::public.notification_status)) s,
  unnest(array['30 days', '30 days 1 microsecond', '90 days', '90 days 1 microsecond', '5 years']::interval[]) d;
insert into public.alerts (type, severity, title, message, dedup_key, status, resolved_at, cleared_at, opened_at)
values ('system_error', 'low', 'year', 'm', 'a', 'resolved', now() - interval '1 year', now() - interval '1 year', now() - interval '2 years'),
  ('system_error', 'low', 'more', 'm', 'b', 'resolved', now() - interval '1 year', now() - interval '1 year 1 microsecond', now() - interval '2 years'),
  ('system_error', 'low', 'holds', 'm', 'c', 'resolved', now() - interval '2 years', null, now() - interval '2 years'),
  ('system_error', 'low', 'open', 'm', 'd', 'open', null, null, now() - interval '2 years');

insert into public.alert_notifications (kind, recipient, status, created_at, sent_at, alert_id)
select 'alert', 'of ' || title, 'sent', now() - interval '1 year', now() - interval '1 year', id from public.alerts where title in ('year', 'more', 'holds', 'open');
insert into public.alert_notifications (kind, lane, recipient, status) values ('invite', 'waits', 'of a lane', 'failed'), ('invite', 'dead', 'of a lane', 'dead');
insert into private.failing_lanes (lane, failures, retry_at) select l, 1, now() from unnest(array['waits', 'dead', 'empty']) l;
select private.cleanup_old_alerts();
select set_eq('select lane from private.failing_lanes', array['waits'], 'and of lanes that failed, those that something waits in');
delete from public.alert_notifications where recipient = 'of a lane';
select set_eq(
  $$ select recipient from public.alert_notifications where status in ('sent', 'dead') $$,
  array['sent 30 days', 'dead 30 days', 'dead 30 days 00:00:00.000001', 'dead 90 days', 'of holds', 'of open'],
  'what was sent is kept for 30 days, what is dead for 90, and what an alert was told by as long as it lasts'
);
select is((select count(*) from public.alert_notifications where status not in ('sent', 'dead')), 15::bigint, 'what has to leave, for ever');
select set_eq($$ select title from public.alerts where title in ('year', 'more', 'holds', 'open') $$, array['year', 'holds', 'open'], 'an alert for a year after its episode');
select tests.act_as_service_role();
select is(tests.error_of('select private.cleanup_old_alerts()'), '42501', 'no API role forgets them');
select tests.act_as_owner();
select is((select string_agg(command, ' ') from cron.job where command ~ 'cleanup_old_alerts'), 'select private.cleanup_old_alerts()', 'it is done each day');

select * from finish();
rollback;
