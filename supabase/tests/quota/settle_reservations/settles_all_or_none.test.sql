begin;
select plan(16);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
select tests.add_member('acme', 'ann', 'editor');
create temp table held (name text, id uuid);
grant select on held to anon;
insert into held
select name, r.reservation_id
from (values ('a', 'acme', 'tokens', 500, 'u1'), ('b', 'acme', 'chat_messages', 1, 'u1'), ('c', 'solo', 'analysis_runs', 5, 'u2'),
  ('d', 'acme', 'tokens', 600, 'u1'), ('e', 'acme', 'chat_messages', 1, 'u1')) h (name, tenant, metric, amount, subject)
cross join lateral reserve_quota(tests.tenant_id(h.tenant), h.metric, h.amount, h.subject) r;
create function pg_temp.settle(p_items text) returns setof public.reservation_answer language sql as $$
  select * from public.settle_reservations((
    select jsonb_agg(jsonb_build_object('reservation_id', h.id) || i.item - 'name' order by i.place)
    from jsonb_array_elements(p_items::jsonb) with ordinality i (item, place)
    left join held h on h.name = i.item ->> 'name'
  ))
$$;
create function pg_temp.fault(p_items text) returns text language sql as $$
  select tests.error_of(format('select pg_temp.settle(%L)', p_items))
$$;
create temp view used as select metric, period::text, used from private.quota_counters where period = 'day';

select tests.act_as_anon();
select set_eq(
  $$ select h.name, s.metric, s.used, s.allowed
     from pg_temp.settle('[{"name": "a", "actual_amount": 700,
       "event": {"event_id": "e1", "event_type": "chat_message", "tokens_consumed": 700}},
       {"name": "c", "actual_amount": 0}, {"name": "b", "actual_amount": 1}]') s
     join held h on h.id = s.reservation_id $$,
  $$ values ('a', 'tokens', 1300::bigint, true), ('b', 'chat_messages', 2, true), ('c', 'analysis_runs', 0, true) $$,
  'by their ids, each is answered'
);
select tests.act_as_owner();
select set_eq(
  'table used', $$ values ('tokens', 'day', 1300::bigint), ('chat_messages', 'day', 2), ('analysis_runs', 'day', 0) $$, 'and settled'
);
select set_eq(
  'select event_id, subject, tokens_consumed from public.tenant_usage_realtime', $$ values ('e1', 'u1', 700::bigint) $$, 'with its event'
);

select is(pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "a", "actual_amount": 1}]'), 'PT409 reservation_settled', 'one that is over');
select is(pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "x", "actual_amount": 1}]'), 'PT404 reservation_not_found', 'that is unknown');
select is(pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "d", "actual_amount": 1}]'), 'PT409 reservation_settled', 'that comes twice');
select is(pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "e", "actual_amount": -1}]'), 'PT400 invalid_amount', 'whose amount is bad');
select is(pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "e"}]'), 'PT400 invalid_amount', 'or missing');
select is(
  pg_temp.fault('[{"name": "d", "actual_amount": 1}, {"name": "e", "actual_amount": 1, "event": {"event_id": "e2", "event_type": "x"}}]'),
  'PT400 unknown_event_type', 'or whose event is'
);
select set_eq(
  'table used', $$ values ('tokens', 'day', 1300::bigint), ('chat_messages', 'day', 2), ('analysis_runs', 'day', 0) $$,
  'keeps the others from being settled'
);
select is((select count(*) from private.quota_reservations where status = 'open'), 2::bigint, 'so that they stay open');
select is(tests.error_of('select settle_reservations(null)'), 'PT400 invalid_settlements', 'nothing is no settlement');
select is(tests.error_of($$ select settle_reservations('{}') $$), 'PT400 invalid_settlements', 'nor an object');
select is(
  tests.error_of($$ select settle_reservations((select jsonb_agg('{}'::jsonb) from generate_series(1, 101))) $$), 'PT400 invalid_settlements',
  'nor more than a hundred'
);
select is_empty($$ select settle_reservations('[]') $$, 'none may be asked for');
select is(tests.error_of($$ select settle_reservations('[{"actual_amount": 1}]') $$), 'PT404 reservation_not_found', 'but not an unnamed one');

select * from finish();
rollback;
