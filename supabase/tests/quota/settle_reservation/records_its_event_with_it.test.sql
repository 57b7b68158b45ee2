begin;
select plan(11);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');
create temp table held as
select i as place, r.reservation_id as id from generate_series(1, 3) i, reserve_quota(tests.tenant_id('acme'), 'tokens', 100 * i) r;
grant select on held to anon;
create function pg_temp.settle(p_place int, p_event jsonb) returns text language sql as $$
  select tests.error_of(format('select settle_reservation(%L, 30, %L)', (select id from held where place = p_place), p_event))
$$;

select tests.act_as_anon();
select is(
  pg_temp.settle(1, '{"event_id": "e1", "event_type": "chat_message", "tokens_consumed": 30, "subject": "someone else"}'), null,
  'a settlement with its event'
);
select tests.act_as_owner();
select is(
  (select (tenant_id, event_id, event_timestamp, event_type, subject, tokens_consumed)::text from public.tenant_usage_realtime),
  (select (tests.tenant_id('acme'), 'e1', now(), 'chat_message', tests.user_id('ann'), 30)::text),
  'records it for the reservation''s tenant and subject'
);
select is((select used from tests.quota_counters), 530::bigint, 'and takes its amount once');

select is(
  pg_temp.settle(2, '{"event_id": "e2", "event_type": "nonsense"}'), 'PT400 unknown_event_type', 'a bad event is refused'
);
select is(pg_temp.settle(2, '[]'), 'PT400 not_an_object', 'be it no event at all');
select is((select used from tests.quota_counters), 530::bigint, 'with its settlement');
select is(
  (select status from private.quota_reservations where id = (select id from held where place = 2)), 'open', 'which stays open'
);
select is((select count(*) from public.tenant_usage_realtime), 1::bigint, 'and records nothing');

select is(
  pg_temp.settle(3, '{"event_id": "e1", "event_type": "chat_message"}'), null, 'an event recorded before is no obstacle'
);
select is((select count(*) from public.tenant_usage_realtime), 1::bigint, 'nor recorded again');
select is((select used from tests.quota_counters), 260::bigint, 'and the settlement counts');

select * from finish();
rollback;
