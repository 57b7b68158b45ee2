begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create temp table cases (place serial, reason text, field text, fields jsonb);
insert into cases (reason, field, fields) values
  ('missing_field', 'event_id', '{"event_id": null}'),
  ('missing_field', 'event_id', '{"event_id": ""}'),
  ('invalid_value', 'event_id', '{"event_id": 7}'),
  ('invalid_value', 'event_id', '{"event_id": {"id": 7}}'),
  ('invalid_value', 'event_id', jsonb_build_object('event_id', repeat('x', 256))),
  (null, null, jsonb_build_object('event_id', repeat('x', 255))),
  ('missing_field', 'event_type', '{"event_type": null}'),
  ('missing_field', 'event_type', '{"event_type": ""}'),
  ('unknown_event_type', 'event_type', '{"event_type": "nonsense"}'),
  ('unknown_event_type', 'event_type', '{"event_type": 7}'),
  ('invalid_timestamp', 'event_timestamp', '{"event_timestamp": "yesterday"}'),
  ('invalid_timestamp', 'event_timestamp', '{"event_timestamp": ""}'),
  ('invalid_timestamp', 'event_timestamp', '{"event_timestamp": 1700000000}'),
  ('too_old', 'event_timestamp', jsonb_build_object('event_timestamp', now() - interval '30 days 1 second')),
  (null, null, jsonb_build_object('event_timestamp', now() - interval '30 days')),
  ('in_future', 'event_timestamp', jsonb_build_object('event_timestamp', now() + interval '5 minutes 1 second')),
  (null, null, jsonb_build_object('event_timestamp', now() + interval '5 minutes')),
  ('invalid_value', 'subject', '{"subject": 7}'),
  ('invalid_value', 'subject', jsonb_build_object('subject', repeat('x', 256))),
  (null, null, jsonb_build_object('subject', repeat('x', 255))),
  ('not_an_object', 'metadata', '{"metadata": []}'),
  ('not_an_object', 'metadata', '{"metadata": "text"}'),
  ('too_large', 'metadata', jsonb_build_object('metadata', jsonb_build_object('a', repeat('x', 16384)))),
  (null, null, jsonb_build_object('metadata', jsonb_build_object('a', repeat('x', 16000)))),
  ('not_a_number', 'tokens_consumed', '{"tokens_consumed": "7"}'),
  ('not_a_number', 'tokens_consumed', '{"tokens_consumed": true}'),
  ('negative_amount', 'tokens_consumed', '{"tokens_consumed": -1}'),
  ('not_an_integer', 'tokens_consumed', '{"tokens_consumed": 1.5}'),
  ('out_of_range', 'tokens_consumed', '{"tokens_consumed": 9007199254740992}'),
  ('out_of_range', 'tokens_consumed', '{"tokens_consumed": 1e300}'),
  (null, null, '{"tokens_consumed": 1e3}'),
  ('negative_amount', 'quantity', '{"quantity": -0.1}'),
  ('out_of_range', 'quantity', '{"quantity": 1e13}'),
  ('not_a_number', 'quantity', '{"quantity": []}'),
  ('not_a_number', 'quantity', '{"quantity": [1]}'),
  ('not_a_number', 'tokens_consumed', '{"tokens_consumed": [5]}'),
  ('not_a_number', 'cost_usd', '{"cost_usd": [0.5]}'),
  ('not_a_number', 'estimated_cost_usd', '{"estimated_cost_usd": [0.5]}'),
  ('negative_amount', 'estimated_cost_usd', '{"estimated_cost_usd": -1}'),
  ('not_a_number', 'api_response_time_ms', '{"api_response_time_ms": [5]}'),
  ('not_a_number', 'api_status_code', '{"api_status_code": [200]}'),
  ('negative_amount', 'cost_usd', '{"cost_usd": -1}'),
  ('out_of_range', 'cost_usd', '{"cost_usd": 1e9}'),
  ('negative_amount', 'api_response_time_ms', '{"api_response_time_ms": -1}'),
  ('out_of_range', 'api_response_time_ms', '{"api_response_time_ms": 1e9}'),
  ('out_of_range', 'api_status_code', '{"api_status_code": 99}'),
  ('out_of_range', 'api_status_code', '{"api_status_code": 600}'),
  ('not_an_integer', 'api_status_code', '{"api_status_code": 200.5}'),
  (null, null, '{"api_status_code": 100}');

create temp table answer as
select r.* from record_usage(tests.tenant_id('acme'), (
  select jsonb_agg(jsonb_build_object('event_id', 'case ' || place, 'event_type', 'search') || fields order by place) from cases
)) r;

select results_eq(
  $$ select (r ->> 'index')::int, r ->> 'reason', r ->> 'field' from answer, jsonb_array_elements(rejected) r $$,
  $$ select place - 1, reason, field from cases where reason is not null order by place $$,
  'each bad event is rejected with its index, a reason and the field'
);
select is(
  (select (accepted, duplicates)::text from answer), (select (count(*), 0)::text from cases where reason is null),
  'and sinks none of the good ones beside it'
);
select is((select count(*) from public.tenant_usage_realtime), 7::bigint, 'which are stored');
select is(
  (select r ->> 'event_id' from answer, jsonb_array_elements(rejected) r where r ->> 'reason' = 'too_old'), 'case 14',
  'a rejection names its event'
);

delete from answer;
insert into answer select * from record_usage(tests.tenant_id('acme'), '[1, "x", null, [], true, {}]');
select is(
  (select jsonb_agg(r order by r -> 'index') from answer, jsonb_array_elements(rejected) r),
  '[{"index": 0, "reason": "not_an_object"}, {"index": 1, "reason": "not_an_object"},
    {"index": 2, "reason": "not_an_object"}, {"index": 3, "reason": "not_an_object"},
    {"index": 4, "reason": "not_an_object"}, {"index": 5, "reason": "missing_field", "field": "event_id"}]',
  'what is no event is rejected as that'
);
select is(
  (select (accepted, duplicates)::text from record_usage(
    tests.tenant_id('acme'), '[{"event_id": "again", "event_type": "nonsense"}, {"event_id": "again", "event_type": "search"}]'
  )),
  '(1,0)', 'a rejected event does not use up its id'
);

select * from finish();
rollback;
