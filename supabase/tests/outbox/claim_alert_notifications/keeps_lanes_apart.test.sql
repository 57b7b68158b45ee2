begin;
select plan(28);

create function pg_temp.put(p_lane text, p_count int) returns void language sql as $$
  insert into public.alert_notifications (kind, lane, recipient) select 'invite', p_lane, p_lane from generate_series(1, p_count)
$$;
create function pg_temp.claimed(p_rows int default 1000) returns text language sql as $$
  select coalesce(string_agg(recipient || ' ' || n, ', ' order by recipient), '') from (
    select recipient, count(*) as n from claim_alert_notifications(p_rows) group by 1
  ) c
$$;
-- Says of so many that are under way in a lane what became of them.
create function pg_temp.complete(p_lane text, p_count int, p_more jsonb) returns int language sql as $$
  select complete_alert_notifications((
    select jsonb_agg(jsonb_build_object('id', id) || p_more)
    from (select id from public.alert_notifications where lane = p_lane and status = 'sending' order by id limit p_count) n
  ))
$$;
create function pg_temp.lane(p_lane text) returns text language sql as $$
  select (failures, retry_at - now())::text from private.failing_lanes where lane = p_lane
$$;

select pg_temp.put('a', 80), pg_temp.put('b', 5), pg_temp.put('c', 30);
select is(pg_temp.claimed(), 'a 20, b 5, c 20', 'at most 20 of a lane are under way at once');
select is(pg_temp.claimed(), '', 'the others wait');
select pg_temp.complete('a', 3, '{"ok": true}'), pg_temp.complete('c', 1, '{"ok": true}');
select is(pg_temp.claimed(), 'a 3, c 1', 'until there is room');
select is(pg_temp.complete('a', 20, '{"ok": false}'), 20, 'messages that fail by themselves');
select is(pg_temp.lane('a'), null, 'do not hold up their lane');
select is(pg_temp.claimed(), 'a 20', 'the next leave');

-- One that any other would have failed as well.
select is(pg_temp.complete('a', 1, '{"ok": false, "blocks_channel": true}'), 1, 'when the whole channel fails');
select is(pg_temp.lane('a'), '(1,00:00:02)', 'its lane waits for two seconds');
select pg_temp.complete('a', 19, '{"ok": false}');
select is(pg_temp.claimed(), '', 'nothing leaves before');
update private.failing_lanes set retry_at = now() + interval '1 microsecond';
select is(pg_temp.claimed(), '', 'not a moment');
update private.failing_lanes set retry_at = now();
select is(pg_temp.claimed(), 'a 1', 'then one alone');
select is(pg_temp.claimed(), '', 'and no other while it is under way');
select pg_temp.complete('a', 1, '{"ok": false, "blocks_channel": true}');
select is(pg_temp.lane('a'), '(2,00:00:04)', 'the next time it waits longer');
select is(pg_temp.lane('c'), null, 'the others are well');
select pg_temp.complete('c', 20, '{"ok": true}');
select is(pg_temp.claimed(), 'c 9', 'and go on');
select pg_temp.complete('c', 1, jsonb_build_object('ok', false, 'blocks_channel', true, 'retry_after_seconds', s)) from unnest(array[100, 1, 100000]) s;
select is(pg_temp.lane('c'), '(3,"1 day")', 'a lane waits for as long as its endpoint says, at most a day');
update private.failing_lanes set failures = 7, retry_at = now() where lane = 'a';
select is(pg_temp.claimed(), 'a 1', 'it is tried');
select pg_temp.complete('a', 1, '{"ok": false, "blocks_channel": true}');
select is(pg_temp.lane('a'), '(8,00:04:16)', 'twice as long each time');
update private.failing_lanes set failures = 50, retry_at = now() where lane = 'a';
select pg_temp.claimed();
select pg_temp.complete('a', 1, '{"ok": false, "blocks_channel": true}');
select is(pg_temp.lane('a'), '(51,00:05:00)', 'up to five minutes');
-- Well again.
update private.failing_lanes set retry_at = now() where lane = 'a';
select is(pg_temp.claimed(), 'a 1', 'it is tried again');
select pg_temp.complete('a', 1, '{"ok": false}');
select is((select failures from private.failing_lanes where lane = 'a'), 51, 'a message that fails by itself proves nothing');
select is(pg_temp.claimed(), 'a 1', 'the next one');
select pg_temp.complete('a', 1, '{"ok": true}');
select is(pg_temp.lane('a'), null, 'that arrives proves the lane well');
select is(pg_temp.claimed(3), 'a 3', 'and as many leave as before');

-- Mails of all channels are one lane, which fails once at a time.
insert into public.alert_notifications (kind, channel_id, recipient, status, locked_until)
select 'invite', gen_random_uuid(), 'mail', 'sending', now() + interval '1 minute' from generate_series(1, 10);
select pg_temp.complete('email', 10, '{"ok": false, "blocks_channel": true}');
select is(pg_temp.lane('email'), '(1,00:00:02)', 'what is told of at once is one failure, however many channels it is about');

-- One that arrived proves the lane well, though another of it did not.
delete from private.failing_lanes;
insert into public.alert_notifications (kind, lane, recipient, status, locked_until) select 'invite', 'e', i, 'sending', now() + interval '1 minute' from generate_series(1, 3) i;
select complete_alert_notifications((
  select jsonb_agg(jsonb_build_object('id', id, 'ok', recipient = '2', 'blocks_channel', recipient <> '2')) from public.alert_notifications where lane = 'e'
));
select is(pg_temp.lane('e'), null, 'a lane in which one of those told of arrived does not fail');

-- Told of together with another lane.
insert into private.failing_lanes (lane, failures, retry_at) values ('a', 1, now());
insert into public.alert_notifications (kind, lane, recipient, status, locked_until) values ('invite', 'd', 'd', 'sending', now() + interval '1 minute');
select complete_alert_notifications((
  select jsonb_agg(jsonb_build_object('id', id, 'ok', lane = 'a', 'blocks_channel', lane = 'd')) from public.alert_notifications where status = 'sending' and lane in ('a', 'd')
));
select is(pg_temp.lane('a'), null, 'a lane that delivers is well, though another that is told of with it is not');
select is(pg_temp.lane('d'), '(1,00:00:02)', 'which waits');

select * from finish();
rollback;
