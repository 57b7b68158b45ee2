begin;
select plan(19);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
insert into public.alert_channels (tenant_id, type, name, config, enabled) values
  (tests.tenant_id('acme'), 'email', 'mail', '{"recipients": ["a@example.com", "b@example.com"]}', true),
  (tests.tenant_id('acme'), 'slack', 'slack', '{"webhook_url": "https://hooks.slack.com/services/A/B/C"}', true),
  (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}', true),
  (tests.tenant_id('acme'), 'pagerduty', 'pager', '{"routing_key": "R0123456789abcdef"}', true),
  (tests.tenant_id('acme'), 'console', 'console', '{}', true), (tests.tenant_id('acme'), 'console', 'off', '{}', false),
  (tests.tenant_id('globex'), 'console', 'globex', '{}', true), (null, 'console', 'operator', '{}', true);
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'Tokens', 'usage_threshold', 50);
create function pg_temp.told(p_event text) returns table (channel text, recipient text) language sql as $$
  select c.name, n.recipient from public.alert_notifications n left join public.alert_channels c on c.id = n.channel_id
  where n.payload ->> 'event' = p_event
$$;

select consume_quota(tests.tenant_id('acme'), 'tokens', 5000);
select results_eq(
  $$ select * from pg_temp.told('opened') order by 1, 2 $$,
  $$ values ('console', null), ('hook', null), ('mail', 'a@example.com'), ('mail', 'b@example.com'), ('pager', null), ('slack', null) $$,
  'an alert that opens is told to every channel of its tenant that is enabled, a mail to each recipient'
);
select is(
  (select string_agg(distinct case when n.lane = c.id::text then 'its own' else n.lane end || ' ' || c.type, ', ')
   from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id),
  format('email:%s email, its own console, its own pagerduty, its own slack, its own webhook', tests.tenant_id('acme')), 'mails of a tenant share a lane, each other channel has its own'
);
select results_eq(
  $$ select distinct n.tenant_id, n.kind, n.status::text, n.attempts, n.alert_id = a.id, n.next_attempt_at from public.alert_notifications n, public.alerts a $$,
  $$ values (tests.tenant_id('acme'), 'alert', 'pending', 0, true, now()) $$, 'due at once'
);
select is(
  (select distinct payload from public.alert_notifications),
  (select jsonb_build_object('event', 'opened', 'alert', jsonb_build_object(
     'id', a.id, 'tenant_id', a.tenant_id, 'tenant_name', 'acme', 'rule_id', a.rule_id, 'rule_name', 'Tokens', 'type', 'usage_threshold',
     'severity', 'medium', 'title', a.title, 'message', a.message, 'data', a.data, 'action_required', false, 'status', 'open',
     'dedup_key', a.dedup_key, 'occurrences', 1, 'opened_at', now(), 'acknowledged_at', null, 'resolved_at', null, 'resolution_note', null
   )) from public.alerts a),
  'each carries the alert as it is then'
);
select acknowledge_alert(id) from public.alerts;
select results_eq(
  $$ select channel from pg_temp.told('acknowledged') order by 1 $$, array['hook', 'pager'], 'that somebody looks after it, to webhooks and PagerDuty'
);
select is(
  (select distinct (payload #>> '{alert,status}', payload #>> '{alert,acknowledged_at}' is not null)::text from public.alert_notifications
   where payload ->> 'event' = 'acknowledged'), '(acknowledged,t)', 'as it is then'
);
select resolve_alert(id, 'Done.') from public.alerts;
select results_eq(
  $$ select channel from pg_temp.told('resolved') order by 1 $$, array['hook', 'pager', 'slack'], 'that it is resolved, to Slack as well'
);
select is(
  (select distinct (payload #>> '{alert,status}', payload #>> '{alert,resolution_note}')::text from public.alert_notifications
   where payload ->> 'event' = 'resolved'), '(resolved,Done.)', 'with the note'
);
select is((select count(*) from public.alert_notifications where payload ? 'token' or payload::text ~ 'hooks.slack.com|R0123456789abcdef|whsec_'), 0::bigint, 'no message holds a secret');

-- A rule that names its channels.
delete from public.alerts; delete from public.alert_notifications;
update public.alert_rules r set threshold = 60, channel_ids = array(select id from public.alert_channels where name in ('hook', 'off') and tenant_id = r.tenant_id)
where tenant_id is not null;
select consume_quota(tests.tenant_id('acme'), 'tokens', 1000);
select results_eq($$ select channel from pg_temp.told('opened') $$, array['hook'], 'a rule that names channels tells those that are enabled');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('acme'), 'webhook', 'late', '{"url": "https://late.example"}');
update public.alert_rules set channel_ids = '{}' where tenant_id is not null;
select resolve_alert(id) from public.alerts;
select results_eq($$ select channel from pg_temp.told('resolved') $$, array['hook'], 'what becomes of it, those that were told of it');
-- One that was disabled meanwhile.
delete from public.alerts; delete from public.alert_notifications;
update public.alert_rules set threshold = 70 where tenant_id is not null;
select consume_quota(tests.tenant_id('acme'), 'tokens', 1000);
update public.alert_channels set enabled = false where name = 'pager';
select acknowledge_alert(id) from public.alerts;
select results_eq($$ select channel from pg_temp.told('acknowledged') order by 1 $$, array['hook', 'late'], 'one that is disabled by then is not');
update public.alert_channels set enabled = true where name = 'pager';
delete from public.alert_rules where tenant_id is not null;
select resolve_alert(id) from public.alerts;
select results_eq(
  $$ select channel from pg_temp.told('resolved') order by 1 $$, array['hook', 'late', 'pager', 'slack'], 'nor does it need the rule'
);
select is(
  (select distinct (n.payload #>> '{alert,rule_id}' = a.rule_id::text, n.payload #> '{alert,rule_name}')::text
   from public.alert_notifications n join public.alerts a on a.id = n.alert_id
   where n.payload ->> 'event' = 'resolved'), '(t,null)', 'which has no name any more, only its id'
);
-- The operator's.
delete from public.alerts; delete from public.alert_notifications;
insert into public.alert_rules (name, type, threshold) values ('All', 'usage_threshold', 75);
select consume_quota(tests.tenant_id('acme'), 'tokens', 500);
select results_eq($$ select channel from pg_temp.told('opened') $$, array['operator'], 'an operator''s alert is told to the operator''s channels');
select is((select tenant_id from public.alert_notifications), null, 'and is no tenant''s message');
-- Nobody to tell.
delete from public.alert_channels where tenant_id = tests.tenant_id('acme');
delete from public.alert_notifications;
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'Tokens', 'usage_threshold', 76);
select consume_quota(tests.tenant_id('acme'), 'tokens', 100);
select is((select count(*) from public.alerts where tenant_id is not null), 1::bigint, 'without a channel an alert opens as well');
select is_empty('select from public.alert_notifications', 'and is told to nobody');
select is_empty($$ select from pg_temp.told('opened') where channel = 'globex' $$, 'another tenant''s channels hear nothing');

select * from finish();
rollback;
