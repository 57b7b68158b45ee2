begin;
select plan(9);

select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name, config) select tests.tenant_id('acme'), 'webhook', n, '{"url": "https://hook.example"}' from unnest(array['gone', 'other']) n;
insert into public.alert_notifications (tenant_id, channel_id, kind, lane, recipient, status, locked_until)
select c.tenant_id, c.id, 'alert', c.id, c.name || ' ' || s, s, case s when 'sending' then now() end
from public.alert_channels c, unnest(array['pending', 'failed', 'sending']::public.notification_status[]) s;
create function pg_temp.state(p_channel text) returns text language sql as $$
  select string_agg(status || coalesce(' ' || last_error, ''), ', ' order by recipient) from public.alert_notifications where recipient like p_channel || ' %'
$$;

select is(complete_alert_notification(id, false, 'HTTP 410', is_gone => true), 1, 'an endpoint that is gone') from public.alert_notifications where recipient = 'gone sending';
select results_eq(
  $$ select name, enabled, disabled_reason from public.alert_channels order by name $$, $$ values ('gone', false, 'gone'), ('other', true, null) $$, 'disables its channel, and says why'
);
select is(
  pg_temp.state('gone'), 'dead The channel was disabled or deleted., dead The channel was disabled or deleted., dead HTTP 410', 'nothing leaves for it any more'
);
select is(pg_temp.state('other'), 'failed, pending, sending', 'for others it does');
select is((select count(*) from claim_alert_notifications() where recipient like 'gone%'), 0::bigint, 'nobody claims for it');
select is((select private.channel_secret(id) is not null from public.alert_channels where name = 'gone'), true, 'its secret stays');
update public.alert_channels set enabled = true where name = 'gone';
select results_eq(
  $$ select enabled, disabled_reason from public.alert_channels where name = 'gone' $$, $$ values (true, null::text) $$, 'enabled again, it is as before'
);
select is((select count(*) from test_alert_channel((select id from public.alert_channels where name = 'gone'))), 1::bigint, 'and is sent to');
-- Who is late and tells that it is gone.
update public.alert_notifications set status = 'sending', locked_until = now(), attempts = 5 where recipient = 'other sending';
select complete_alert_notification(id, false, is_gone => true, attempt => 4) from public.alert_notifications where recipient = 'other sending';
select is((select enabled from public.alert_channels where name = 'other'), true, 'who does not hold a message disables nothing');

select * from finish();
rollback;
