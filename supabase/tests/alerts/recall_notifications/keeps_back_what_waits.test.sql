begin;
select plan(9);

select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name, config) values
  (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}'), (tests.tenant_id('acme'), 'email', 'mail', '{"recipients": ["a@example.com"]}'),
  (tests.tenant_id('acme'), 'email', 'other', '{"recipients": ["b@example.com"]}');
insert into public.alert_rules (tenant_id, name, type, channel_ids) select tests.tenant_id('acme'), r, 'usage_threshold',
  array(select id from public.alert_channels where name = any (n) order by name)
from (values ('hook', '{hook}'::text[]), ('both', '{hook,mail}'), ('mail', '{mail}'), ('all', '{}')) rules (r, n);
insert into public.alert_notifications (tenant_id, channel_id, kind, lane, status, locked_until, sent_at, last_error)
select c.tenant_id, c.id, 'alert', private.channel_lane(c), s,
  case s when 'sending' then now() end, case s when 'sent' then now() end, s::text
from public.alert_channels c, unnest(enum_range(null::public.notification_status)) s;
create temp table ids as select id, name from public.alert_channels;
create function pg_temp.waiting(p_name text) returns text language sql as $$
  select string_agg(coalesce(n.last_error, '') || '-' || n.status, ' ' order by n.last_error, n.status) from public.alert_notifications n join ids i on i.id = n.channel_id where i.name = p_name
$$;
create temp table as_it_was as select 'dead-dead failed-failed pending-pending sending-sending sent-sent' as waiting;
create temp table recalled as
select 'The channel was disabled or deleted.-dead The channel was disabled or deleted.-dead dead-dead sending-sending sent-sent' as waiting;

update public.alert_channels set name = name, config = config, enabled = true;
select is(pg_temp.waiting('hook'), (select waiting from as_it_was), 'what waits for a channel waits');
update public.alert_channels set enabled = false where name = 'hook';
select is(pg_temp.waiting('hook'), (select waiting from recalled), 'one that is disabled gets nothing that has not left');
select is(pg_temp.waiting('mail'), (select waiting from as_it_was), 'others do');
update public.alert_channels set enabled = true where name = 'hook';
select is(pg_temp.waiting('hook'), (select waiting from recalled), 'nor when it is enabled again');
select is((select count(*) from public.alert_rules where enabled and tenant_id is not null), 4::bigint, 'its rules stay');

delete from public.alert_channels where name = 'mail';
select is(pg_temp.waiting('mail'), (select waiting from recalled), 'nor does one that is deleted');
select is(pg_temp.waiting('other'), (select waiting from as_it_was), 'of mails, the channel''s own alone');
select results_eq(
  $$ select name, cardinality(channel_ids), enabled from public.alert_rules where tenant_id is not null order by name $$,
  $$ values ('all', 0, true), ('both', 1, true), ('hook', 1, true), ('mail', 0, false) $$,
  'rules forget a channel that is deleted; one that told nobody else is disabled, as it would tell all'
);
delete from public.alert_channels where name = 'hook';
select results_eq(
  $$ select name, cardinality(channel_ids), enabled from public.alert_rules where tenant_id is not null order by name $$,
  $$ values ('all', 0, true), ('both', 0, false), ('hook', 0, false), ('mail', 0, false) $$, 'one after the other'
);

select * from finish();
rollback;
