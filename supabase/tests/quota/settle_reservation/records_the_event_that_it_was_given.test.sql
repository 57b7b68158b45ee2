begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select tests.set_clock('acme');
create temp table held (name text, id uuid);
insert into held
select name, r.reservation_id
from unnest(array['plain', 'other', 'nothing', 'released']) name
cross join lateral reserve_quota(tests.tenant_id('acme'), 'tokens', 100, 'u1', event =>
  jsonb_build_object('event_id', name, 'event_type', 'chat_message', 'metadata', jsonb_build_object('model', 'm'))) r;
create temp view events as
select event_id, event_type, subject, tokens_consumed, event_timestamp, metadata ->> 'model' as model from public.tenant_usage_realtime;
select tests.set_clock('acme', '1 minute');

select is_empty('select from events', 'not before it ends');
select settle_reservation(id, 130) from held where name = 'plain';
select results_eq(
  'select * from events', $$ values ('plain', 'chat_message', 'u1', 130::bigint, tests.noon(), 'm') $$,
  'with what was really used, at the time when it began'
);
select settle_reservation(id, 0) from held where name = 'nothing';
select is((select tokens_consumed from events where event_id = 'nothing'), 0::bigint, 'be it nothing');
select settle_reservation(id, 7, '{"event_id": "mine", "event_type": "ai_request", "tokens_consumed": 6}') from held where name = 'other';
select set_eq(
  $$ select event_id, tokens_consumed from events where event_type = 'ai_request' $$, $$ values ('mine', 6::bigint) $$,
  'another event is recorded in its place'
);
select release_reservation(id) from held where name = 'released';
select set_eq('select event_id from events', array['plain', 'nothing', 'mine'], 'a release records none');

-- Of any other metric, the amount is the event's quantity.
select s.allowed
from reserve_quota(tests.tenant_id('acme'), 'embeddings', 5, event => '{"event_id": "e", "event_type": "embedding"}') r
cross join lateral settle_reservation(r.reservation_id, 4) s;
select is(
  (select (quantity, tokens_consumed)::text from public.tenant_usage_realtime where event_id = 'e'), '(4.000000,0)',
  'the amount is the quantity, unless it is of tokens'
);
select results_eq(
  'select metric, used from private.quota_counters order by metric', $$ values ('embeddings', 4::bigint), ('tokens', 137) $$,
  'and counted once'
);

select * from finish();
rollback;
