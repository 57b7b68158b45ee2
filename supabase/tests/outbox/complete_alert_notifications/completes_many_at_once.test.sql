begin;
select plan(20);

insert into public.alert_notifications (id, kind, lane, recipient, status, attempts, locked_until)
select md5(i::text)::uuid, 'invite', 'l' || i % 3, i, 'sending', i, now() from generate_series(1, 9) i;
create function pg_temp.of(p_i int, p_more jsonb) returns jsonb language sql as $$ select jsonb_build_object('id', md5(p_i::text)) || p_more $$;
create function pg_temp.states() returns text language sql as $$
  select string_agg(left(status::text, 4), ' ' order by recipient) from public.alert_notifications
$$;

select is(complete_alert_notifications(jsonb_build_array(
  pg_temp.of(1, '{"ok": true}'), pg_temp.of(2, '{"ok": false, "error": "x"}'), pg_temp.of(3, '{"ok": false, "is_permanent": true}'),
  pg_temp.of(4, '{"ok": false, "attempt": 3}'), pg_temp.of(5, '{"ok": false, "attempt": 5, "retry_after_seconds": 50000}'), pg_temp.of(6, '{"ok": true, "attempt": 2, "unknown": 1}'),
  pg_temp.of(10, '{"ok": true}')
)), 5, 'each is completed as by itself, those that are the caller''s');
select is(pg_temp.states(), 'sent fail dead send fail sent send send send', 'with what became of it');
select results_eq(
  $$ select recipient, last_error, extract(epoch from next_attempt_at - now())::int >= 50000 from public.alert_notifications where status = 'failed' order by 1 $$,
  $$ values ('2', 'x', false), ('5', 'unknown', true) $$, 'and why, and when it is tried again'
);
select is(complete_alert_notifications('[]'), 0, 'none is none');
select is(complete_alert_notifications(jsonb_build_array(pg_temp.of(7, '{"ok": true}'), pg_temp.of(7, '{"ok": true}'))), 1, 'one that is told twice is one');
select is(complete_alert_notifications(jsonb_build_array(pg_temp.of(8, '{}'))), 1, 'what does not say that it arrived');
select is((select (status, last_error)::text from public.alert_notifications where recipient = '8'), '(failed,unknown)', 'has failed, nobody knows why');
update public.alert_notifications set status = 'sending', locked_until = now(), attempts = case recipient when '9' then 13 else 8 end where recipient in ('8', '9');
select is(complete_alert_notifications(jsonb_build_array(
  pg_temp.of(8, '{"ok": null, "error": "x", "blocks_channel": true}'), pg_temp.of(9, '{"error": "y"}')
)), 2, 'or with a reason');
select results_eq(
  $$ select recipient, status::text, last_error, next_attempt_at > now() from public.alert_notifications where recipient in ('8', '9') order by 1 $$,
  $$ values ('8', 'failed', 'x', true), ('9', 'dead', 'y', true) $$, 'that is kept, and after the 13th attempt it is dead'
);
select is((select failures from private.failing_lanes where lane = 'l2'), 1, 'its lane fails, when it says so');
select is(complete_alert_notifications(jsonb_build_array(pg_temp.of(1, '{}'), pg_temp.of(8, '{}'))), 0, 'what is nobody''s to fail is not failed');
select is(tests.error_of(format('select complete_alert_notifications(%L)', o)), f, 'outcomes are an array: ' || coalesce(left(o, 20), 'null'))
from (values
  (null, 'PT400 invalid_outcomes'), ('{}', 'PT400 invalid_outcomes'), ('null', 'PT400 invalid_outcomes'),
  ((select jsonb_agg(jsonb_build_object('id', gen_random_uuid(), 'ok', true))::text from generate_series(1, 5000)), null),
  ((select jsonb_agg(jsonb_build_object('id', gen_random_uuid(), 'ok', true))::text from generate_series(1, 5001)), 'PT400 invalid_outcomes')
) outcomes (o, f);
-- Two channels gone, one failing.
select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name) select tests.tenant_id('acme'), 'console', n from unnest(array['a', 'b', 'c']) n;
insert into public.alert_notifications (channel_id, kind, lane, recipient, status, locked_until) select id, 'alert', id, name, 'sending', now() from public.alert_channels where name in ('a', 'b', 'c');
select is(complete_alert_notifications((
  select jsonb_agg(jsonb_build_object('id', id, 'ok', false, 'is_gone', recipient <> 'c', 'blocks_channel', recipient = 'c')) from public.alert_notifications where recipient in ('a', 'b', 'c')
)), 3, 'of several channels');
select set_eq($$ select name from public.alert_channels where not enabled $$, array['a', 'b'], 'those that are gone are disabled');
select is((select failures from private.failing_lanes l join public.alert_channels c on l.lane = c.id::text where c.name = 'c'), 1, 'the other fails');
select tests.act_as_service_role();
select is(tests.error_of('select complete_alert_notifications(''[]'')'), null, 'the service role says so');

select * from finish();
rollback;
