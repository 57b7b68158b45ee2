begin;
select plan(7);

create function pg_temp.put(p_name text) returns uuid language sql as $$
  insert into public.alert_notifications (id, kind, recipient, payload) values (md5(p_name)::uuid, 'invite', p_name, '{"token": "secret", "invite_id": "i"}') returning id
$$;
create function pg_temp.payload(p_name text) returns jsonb language sql as $$ select payload from public.alert_notifications where recipient = p_name $$;
select pg_temp.put(n) from unnest(array['sent', 'failed', 'permanent', 'dead', 'waits']) n;

select is((select count(*) from claim_alert_notifications() where payload ->> 'token' = 'secret'), 5::bigint, 'a message carries its token');
select complete_alert_notification(md5('sent')::uuid, true), complete_alert_notification(md5('failed')::uuid, false), complete_alert_notification(md5('permanent')::uuid, false, is_permanent => true);
select is(pg_temp.payload('sent'), '{"invite_id": "i"}', 'until it was sent');
select is(pg_temp.payload('permanent'), '{"invite_id": "i"}', 'or never will be');
update public.alert_notifications set attempts = 13 where recipient = 'dead';
select complete_alert_notification(md5('dead')::uuid, false);
select is(pg_temp.payload('dead'), '{"invite_id": "i"}', 'after its last attempt as well');
select is(pg_temp.payload('failed') ->> 'token', 'secret', 'what failed needs it still');
select is(pg_temp.payload('waits') ->> 'token', 'secret', 'and what is under way');
insert into public.alert_notifications (kind, recipient, payload) values ('alert', 'other', '{"alert": {"token": 1}, "event": "opened"}');
update public.alert_notifications set status = 'sent', sent_at = now() where recipient = 'other';
select is(pg_temp.payload('other'), '{"alert": {"token": 1}, "event": "opened"}', 'nothing else is forgotten');

select * from finish();
rollback;
