begin;
select plan(17);

create function pg_temp.put(p_name text, p_created interval, p_alert text default 'a', p_channel text default 'c', p_recipient text default null, p_due interval default '0', p_event text default null)
returns void language sql as $$
  insert into public.alert_notifications (id, alert_id, channel_id, kind, lane, recipient, payload, created_at, next_attempt_at)
  values (md5(p_name)::uuid, md5(p_alert)::uuid, md5(p_channel)::uuid, 'invite', p_channel, p_recipient, jsonb_build_object('name', p_name, 'event', p_event), now() + p_created, now() + p_due)
$$;
create function pg_temp.claimed() returns text language sql as $$
  select coalesce(string_agg(payload ->> 'name', ' ' order by payload ->> 'name'), '') from claim_alert_notifications()
$$;
create function pg_temp.complete(p_name text, p_ok boolean, p_is_permanent boolean default false) returns int language sql as $$
  select complete_alert_notification(md5(p_name)::uuid, p_ok, is_permanent => p_is_permanent)
$$;

select pg_temp.put('1 opened', '1 s'), pg_temp.put('2 acknowledged', '2 s', p_due => '-1 hour'), pg_temp.put('3 resolved', '3 s', p_due => '-2 hours');
select is(pg_temp.claimed(), '1 opened', 'messages of one alert to one channel leave in their order, whichever is due first');
select is(pg_temp.claimed(), '', 'one after the other');
select pg_temp.complete('1 opened', false);
select is(pg_temp.claimed(), '', 'what failed is waited for');
update public.alert_notifications set next_attempt_at = now() where id = md5('1 opened')::uuid;
select is(pg_temp.claimed(), '1 opened', 'and tried again');
select pg_temp.complete('1 opened', true);
select is(pg_temp.claimed(), '2 acknowledged', 'then the next');
select pg_temp.complete('2 acknowledged', false, true);
select is(pg_temp.claimed(), '3 resolved', 'what is dead is not waited for');
select pg_temp.complete('3 resolved', true);

select pg_temp.put('x1', '1 s', p_due => '1 hour'), pg_temp.put('x2', '2 s'), pg_temp.put('y2', '2 s', 'b'), pg_temp.put('z2', '2 s', p_channel => 'd');
select is(pg_temp.claimed(), 'y2 z2', 'other alerts and other channels do not wait');
insert into public.alert_notifications (kind, lane, payload, created_at, next_attempt_at)
values ('invite', 'tests', '{"name": "t1"}', now(), now() + interval '1 hour'), ('invite', 'tests', '{"name": "t2"}', now() + interval '1 second', now());
select is(pg_temp.claimed(), 't2', 'nor what is about no alert');
-- Mails, to each recipient.
select pg_temp.put('a1', '1 s', 'm', 'email', 'a@example.com', '1 hour'), pg_temp.put('a2', '2 s', 'm', 'email', 'a@example.com'),
  pg_temp.put('b2', '2 s', 'm', 'email', 'b@example.com');
select is(pg_temp.claimed(), 'b2', 'each recipient has an order of their own');
-- That it opened is the first there is to tell: it waits for nothing, what follows for it.
select pg_temp.put('o1', '1 s', 'o', 'o', p_due => '1 hour', p_event => 'acknowledged'), pg_temp.put('o2', '2 s', 'o', 'o', p_event => 'opened'),
  pg_temp.put('o3', '3 s', 'o', 'o', p_event => 'resolved');
select is(pg_temp.claimed(), 'o2', 'that an alert opened waits for no message of it');
update public.alert_notifications set next_attempt_at = now() where id = md5('o1')::uuid;
select is(pg_temp.claimed(), 'o1', 'what became of it for those before it alone');
select pg_temp.complete('o1', true);
select is(pg_temp.claimed(), '', 'and for that it opened');
-- As the database tells of it.
delete from public.alert_notifications;
update public.alert_rules set enabled = false;
select tests.create_tenant('acme', 'trial');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}');
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'r', 'quota_warning');
select consume_quota(tests.tenant_id('acme'), 'tokens', 8000);
select acknowledge_alert(id) from public.alerts;
select resolve_alert(id) from public.alerts;
create function pg_temp.next() returns text language plpgsql as $$
declare
  v_claimed public.claimed_notification;
begin
  select * into v_claimed from claim_alert_notifications();
  if complete_alert_notification(v_claimed.id, true) = 1 then
    return v_claimed.payload ->> 'event';
  end if;
  return null;
end
$$;
select is(pg_temp.next(), 'opened', 'an alert''s messages');
select is(pg_temp.next(), 'acknowledged', 'leave in the order');
select is(pg_temp.next(), 'resolved', 'in which they were told');
select is(pg_temp.next(), null, 'and no other');
select is((select count(*) from public.alert_notifications where status = 'sent'), 3::bigint, 'all of them');

select * from finish();
rollback;
