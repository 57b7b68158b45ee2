begin;
select plan(11);

select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name, enabled)
select tests.tenant_id('acme'), 'console', n, n <> 'off' from unnest(array['on', 'off', 'deleted']) n;
create temp table channels as select name, id from public.alert_channels;
delete from public.alert_channels where name = 'deleted';
-- As one that was written while its channel went away.
create function pg_temp.put(p_name text, p_channel text default null, p_kind text default 'alert', p_due interval default '0') returns void language sql as $$
  insert into public.alert_notifications (id, tenant_id, channel_id, kind, lane, recipient, status, attempts, next_attempt_at, payload)
  values (md5(p_name)::uuid, tests.tenant_id('acme'), (select id from channels where name = p_channel), p_kind, 'l', p_name, 'failed', 2, now() + p_due, '{"event": "opened"}')
$$;
create function pg_temp.claimed(p_rows int default 100) returns text language sql as $$
  select coalesce(string_agg(recipient, ' ' order by recipient), '') from claim_alert_notifications(p_rows)
$$;
create function pg_temp.states() returns text language sql as $$
  select string_agg(concat_ws(' ', recipient, status, attempts, last_error), ', ' order by recipient) from public.alert_notifications where kind = 'alert'
$$;

select pg_temp.put('on', 'on'), pg_temp.put('off', 'off'), pg_temp.put('deleted', 'deleted'), pg_temp.put('none'), pg_temp.put('later', 'off', p_due => '1 hour'),
  pg_temp.put('invite', p_kind => 'invite'), pg_temp.put('bill', 'off', 'billing');
select is(pg_temp.claimed(), 'bill invite on', 'an alert leaves by a channel that is enabled, mails without one');
select is(
  pg_temp.states(),
  'deleted dead 2 The channel was disabled or deleted., later failed 2, none dead 2 The channel was disabled or deleted., off dead 2 The channel was disabled or deleted., on sending 3',
  'what has none is dead without an attempt, once it is due'
);
select set_eq(
  $$ select n.recipient, o.status::text from private.outbox o join public.alert_notifications n using (id) where o.status = 'dead' $$,
  $$ values ('deleted', 'dead'), ('none', 'dead'), ('off', 'dead') $$, 'for the outbox as well'
);
select is((select count(*) from public.alert_notifications where status = 'dead' and locked_until is not null), 0::bigint, 'nobody holds it');
select is(pg_temp.claimed(), '', 'nor is it claimed again');
-- Its channel comes back.
update public.alert_channels set enabled = true where name = 'off';
select is(pg_temp.claimed(), '', 'when its channel is enabled neither');
select is(replay_alert_notification(md5('off')::uuid), 1, 'but it can be replayed');
select is(replay_alert_notification(md5('deleted')::uuid), 0, 'which one without a channel cannot');
select is(pg_temp.claimed(), 'off', 'and is sent then');
-- It holds up nothing for longer than its turn.
select pg_temp.put('first', 'deleted', p_due => '-1 hour'), pg_temp.put('second', 'on', p_due => '-1 minute');
select is(pg_temp.claimed(1) || pg_temp.claimed(1), 'second', 'what is due after it leaves next');
update public.alert_notifications set next_attempt_at = now() where recipient = 'later';
select is(pg_temp.claimed(), 'later', 'what became due after its channel was enabled is sent');

select * from finish();
rollback;
