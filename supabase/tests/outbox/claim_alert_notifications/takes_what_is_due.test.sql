begin;
select plan(25);

select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('acme'), 'slack', 'slack', '{"webhook_url": "https://hooks.slack.com/x", "channel": "#a"}');
create function pg_temp.put(p_name text, p_status public.notification_status default 'pending', p_due interval default '0', p_kind text default 'alert', p_lane text default 'l')
returns void language sql as $$
  insert into public.alert_notifications (tenant_id, channel_id, kind, recipient, lane, status, next_attempt_at, payload, locked_until, sent_at)
  values (tests.tenant_id('acme'), case p_kind when 'alert' then (select id from public.alert_channels where name = 'slack') end, p_kind, p_name, p_lane, p_status, now() + p_due, jsonb_build_object('key', p_name),
    case p_status when 'sending' then now() end, case p_status when 'sent' then now() end)
$$;
create function pg_temp.claimed(p_rows int default 100) returns text language sql as $$
  select coalesce(string_agg(recipient, ' ' order by recipient), '') from claim_alert_notifications(p_rows)
$$;

select pg_temp.put('pending'), pg_temp.put('failed', 'failed'), pg_temp.put('sending', 'sending'), pg_temp.put('sent', 'sent'), pg_temp.put('dead', 'dead'),
  pg_temp.put('later', p_due => '1 microsecond'), pg_temp.put('failed later', 'failed', '1 microsecond'), pg_temp.put('long ago', p_due => '-1 day');
select is(pg_temp.claimed(), 'failed long ago pending', 'what waits and is due is taken');
select results_eq(
  $$ select distinct status::text, attempts, locked_until - now() from public.alert_notifications where recipient in ('failed', 'long ago', 'pending') $$,
  $$ values ('sending', 1, interval '60 seconds') $$, 'for a minute'
);
select is(pg_temp.claimed(), '', 'and nobody else takes it meanwhile');
select is((select count(*) from public.alert_notifications where status = 'sending' and recipient <> 'sending'), 3::bigint, 'what is not due waits');

-- What a worker is given.
delete from public.alert_notifications;
insert into public.alert_notifications (id, tenant_id, alert_id, channel_id, kind, lane, payload, attempts, created_at)
select md5('n')::uuid, tenant_id, md5('a')::uuid, id, 'alert', id::text, '{"event": "opened"}', 4, now() - interval '1 hour' from public.alert_channels where name = 'slack';
select results_eq(
  $$ select * from claim_alert_notifications(1, 30) $$,
  $$ select md5('n')::uuid, tenant_id, md5('a')::uuid, id, 'alert', 'slack'::public.alert_channel_type, null::text,
       '{"channel": "#a", "webhook_url": "https://hooks.slack.com/x"}'::jsonb, '{"event": "opened"}'::jsonb, 5, now() - interval '1 hour'
     from public.alert_channels where name = 'slack' $$,
  'all that it needs, the channel''s secret with it, and which attempt it is'
);
select is((select locked_until - now() from public.alert_notifications), interval '30 seconds', 'for as long as it says');
select pg_temp.put('invite', p_kind => 'invite', p_lane => 'email'), pg_temp.put('billing', p_kind => 'billing', p_lane => 'email');
select results_eq(
  $$ select kind, channel_type::text, channel_id, recipient, config from claim_alert_notifications() order by kind $$,
  $$ values ('billing', 'email', null::uuid, 'billing', '{}'::jsonb), ('invite', 'email', null, 'invite', '{}') $$, 'invites and bills are mails without a channel'
);

-- Not more than asked for, the longest due first.
delete from public.alert_notifications;
select pg_temp.put('n' || i, p_due => -i * interval '1 second') from generate_series(1, 5) i;
set local enable_indexscan = off; set local enable_bitmapscan = off; -- whatever the plan
select is(pg_temp.claimed(2), 'n4 n5', 'of a lane the longest due come first');
select is(pg_temp.claimed(1), 'n3', 'not more than are asked for');
select is(pg_temp.claimed(1000), 'n1 n2', 'then the rest');
reset enable_indexscan; reset enable_bitmapscan;
-- Every lane, wherever the walk begins.
create function pg_temp.lanes() returns text language plpgsql as $$
declare
  v_names text;
begin
  delete from public.alert_notifications;
  perform pg_temp.put(l, p_lane => l) from unnest(array['0', '3fffffff', '7fffffff', '8', 'c', 'email', 'ffffffff-']) l;
  perform pg_temp.put(l || ' later', p_due => '1 hour', p_lane => l) from unnest(array['1', '9', 'd']) l;
  v_names := pg_temp.claimed(3);
  if (select count(distinct lane) from public.alert_notifications where status = 'sending') <> 3 then
    return v_names;
  end if;
  return v_names || ' ' || pg_temp.claimed();
end
$$;
create temp table walks as select pg_temp.lanes() as names from generate_series(1, 60);
select is_empty(
  $$ select names from walks where array(select n from unnest(string_to_array(names, ' ')) n order by n) <> array['0', '3fffffff', '7fffffff', '8', 'c', 'email', 'ffffffff-'] $$,
  'wherever a walk begins, it comes past every lane once'
);
select cmp_ok((select count(distinct left(names, strpos(names, ' '))) from walks), '>=', 2::bigint, 'and begins at one or another');
select is((select count(*) from public.alert_notifications where status = 'pending'), 3::bigint, 'lanes where nothing is due are passed over');

-- As many as there are.
delete from public.alert_notifications;
insert into public.alert_notifications (kind, lane) select 'invite', i % 60 from generate_series(1, 1200) i;
select is((select count(*) from claim_alert_notifications(5000)), 1200::bigint, 'more than a thousand at once');
delete from public.alert_notifications;
select is(tests.error_of(format('select claim_alert_notifications(%s, %s)', r, l)), f, format('%s rows for %s seconds', r, l))
from (values
  ('0', '60', 'PT400 invalid_max_rows'), ('5001', '60', 'PT400 invalid_max_rows'), ('null', '60', 'PT400 invalid_max_rows'), ('5000', '60', null),
  ('1', '0', 'PT400 invalid_lease'), ('1', '3601', 'PT400 invalid_lease'), ('1', 'null', 'PT400 invalid_lease'), ('1', '3600', null)
) calls (r, l, f);
select tests.act_as_service_role();
select is(tests.error_of('select claim_alert_notifications()'), null, 'the service role claims');
select tests.act_as_user('root', '{"role": "service_role"}');
select is(tests.error_of('select claim_alert_notifications()'), '42501', 'no platform admin, with a forged token neither');
select tests.act_as_anon();
select is(tests.error_of('select claim_alert_notifications()'), '42501', 'nor anon');

select * from finish();
rollback;
