begin;
select plan(36);

select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.put(p_name text, p_attempts int default 1, p_status public.notification_status default 'sending') returns uuid language sql as $$
  insert into public.alert_notifications (id, kind, lane, status, attempts, locked_until, sent_at, next_attempt_at, last_error)
  values (md5(p_name)::uuid, 'invite', p_name, p_status, p_attempts, case p_status when 'sending' then now() end, case p_status when 'sent' then now() - interval '1 day' end, now(), 'before')
  returning id
$$;
create function pg_temp.state(p_name text) returns text language sql as $$
  select (status, attempts, locked_until, sent_at - now(), last_error)::text from public.alert_notifications where id = md5(p_name)::uuid
$$;
-- Seconds until the next attempt.
create function pg_temp.wait(p_name text) returns numeric language sql as $$
  select extract(epoch from next_attempt_at - now()) from public.alert_notifications where id = md5(p_name)::uuid
$$;

select is(complete_alert_notification(pg_temp.put('ok'), true, attempt => 1), 1, 'what was delivered');
select is(pg_temp.state('ok'), '(sent,1,,00:00:00,)', 'is sent, and nothing is wrong any more');
select is(complete_alert_notification(md5('ok')::uuid, true), 0, 'once');
select is(complete_alert_notification(md5('ok')::uuid, false, 'late'), 0, 'and not failed afterwards');
select is(pg_temp.state('ok'), '(sent,1,,00:00:00,)', 'whatever is told');
select is(complete_alert_notification(gen_random_uuid(), true), 0, 'what there is not is not completed');

select is(complete_alert_notification(pg_temp.put('failed'), false, 'HTTP 500', attempt => 1), 1, 'what failed');
select is(pg_temp.state('failed'), '(failed,1,,,"HTTP 500")', 'says why');
select ok(pg_temp.wait('failed') between 4 and 6, 'and is tried again after five seconds, a fifth more or less') ;
select is(complete_alert_notification(md5('failed')::uuid, false), 0, 'what waits is nobody''s to fail');
select is(complete_alert_notification(pg_temp.put('no reason'), false), 1, 'without a reason');
select is(pg_temp.state('no reason'), '(failed,1,,,unknown)', 'it is unknown');
select is(complete_alert_notification(pg_temp.put('not said'), null, 'HTTP 500'), 1, 'what does not say that it arrived');
select is(pg_temp.state('not said'), '(failed,1,,,"HTTP 500")', 'has failed');
select is(complete_alert_notification(pg_temp.put('long'), false, repeat('x', 501)), 1, 'a reason');
select is((select length(last_error) from public.alert_notifications where lane = 'long'), 500, 'is cut at 500 characters');
-- Each attempt waits four times as long.
select complete_alert_notification(pg_temp.put('n' || n, n), false, attempt => n) from generate_series(1, 13) n;
select is_empty(
  $$ select n, pg_temp.wait('n' || n) from generate_series(1, 12) n where pg_temp.wait('n' || n) not between 0.8 * least(5 * 4 ^ (n - 1), 43200) and 1.2 * least(5 * 4 ^ (n - 1), 43200) $$,
  'each attempt waits four times as long, at most twelve hours, a fifth more or less'
);
select is((select string_agg(left(pg_temp.state('n' || n), 7), '') from generate_series(1, 12) n), repeat('(failed', 12), 'twelve times');
select matches(pg_temp.state('n13'), '^\(dead,13,,', 'the 13th is the last');
-- What the receiver says.
select complete_alert_notification(pg_temp.put('after ' || s), false, retry_after_seconds => s) from unnest(array[100, 1, 0, -5, 86400, 86401]) s;
select is(pg_temp.wait('after 100'), 100::numeric, 'a receiver that says when is waited for');
select ok(pg_temp.wait('after 1') between 4 and 6 and pg_temp.wait('after 0') between 4 and 6 and pg_temp.wait('after -5') between 4 and 6, 'not shorter than otherwise');
select is(pg_temp.wait('after 86400'), 86400::numeric, 'for a day');
select is(pg_temp.wait('after 86401'), 86400::numeric, 'but no longer');

select is(complete_alert_notification(pg_temp.put('permanent'), false, 'HTTP 404', is_permanent => true), 1, 'what will never do');
select is(pg_temp.state('permanent'), '(dead,1,,,"HTTP 404")', 'is dead at once');
select is(complete_alert_notification(md5('permanent')::uuid, false), 0, 'and is not failed again');
-- Delivered after all, by a holder before.
select is(complete_alert_notification(pg_temp.put('second', 2), false, 'late', attempt => 1), 0, 'an attempt that is not the last is nobody''s to fail');
select matches(pg_temp.state('second'), '^\(sending,2,', 'the last goes on');
select is(
  (select sum(complete_alert_notification(pg_temp.put('took ' || s, 2, s), true, attempt => 1)) from unnest(enum_range(null::public.notification_status)) s), 4::bigint,
  'one that arrived is sent whatever became of it, once'
);
select is((select count(*) from public.alert_notifications where lane like 'took %' and status = 'sent' and locked_until is null), 5::bigint, 'all of these');
select is((select sent_at - now() from public.alert_notifications where lane = 'took sent'), interval '-1 day', 'what was sent stays as it was');
select is(private.retry_delay(100) <= interval '14 hours 24 minutes', true, 'no attempt is too many to count');

select tests.act_as_service_role();
select is(tests.error_of(format('select complete_alert_notification(%L, true)', gen_random_uuid())), null, 'the service role says so');
select tests.act_as_user('root', '{"role": "service_role"}');
select is(tests.error_of(format('select complete_alert_notification(%L, true)', gen_random_uuid())), '42501', 'no platform admin, with a forged token neither');
select is(tests.error_of('select complete_alert_notifications(''[]'')'), '42501', 'nor of many');
select tests.act_as_anon();
select is(tests.error_of(format('select complete_alert_notification(%L, true)', gen_random_uuid())), '42501', 'nor anon');

select * from finish();
rollback;
