begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
select is(
  (select (accepted, duplicates, rejected)::text from record_usage(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object(
      'event_id', 'full', 'event_type', 'chat_message', 'event_timestamp', now() - interval '1 hour', 'subject', 'u1',
      'tokens_consumed', 1200, 'quantity', 2.5, 'cost_usd', 0.0123456789, 'api_response_time_ms', 87.654,
      'api_status_code', 200, 'metadata', jsonb_build_object('direction', 'sent')
    ),
    '{"event_id": "least", "event_type": "search"}'::jsonb,
    '{"event_id": "nulls", "event_type": "search", "event_timestamp": null, "subject": null, "tokens_consumed": null,
      "quantity": null, "cost_usd": null, "api_response_time_ms": null, "api_status_code": null, "metadata": null}'::jsonb,
    '{"event_id": "largest", "event_type": "api_call", "tokens_consumed": 9007199254740991, "quantity": 9999999999999,
      "cost_usd": 999999999, "api_response_time_ms": 999999999, "api_status_code": 599}'::jsonb
  ))),
  '(4,0,[])', 'accepts events'
);
select is(
  (select (event_timestamp, event_type, subject, tokens_consumed, quantity, cost_usd, api_response_time_ms, api_status_code,
     metadata)::text from public.tenant_usage_realtime where event_id = 'full'),
  (select (now() - interval '1 hour', 'chat_message', 'u1', 1200, '2.500000'::numeric, 0.0123456789, 87.654, 200,
     '{"direction": "sent"}'::jsonb)::text),
  'with every field'
);
select is(
  (select (event_timestamp, event_type, subject, tokens_consumed, quantity, cost_usd, api_response_time_ms, api_status_code,
     metadata)::text from public.tenant_usage_realtime where event_id = 'least'),
  (select (now(), 'search', '', 0, '1.000000'::numeric, null, null, null, '{}'::jsonb)::text),
  'or with no more than an id and a type'
);
select results_eq(
  $$ select to_jsonb(e) - 'event_id' from public.tenant_usage_realtime e where event_id = 'nulls' $$,
  $$ select to_jsonb(e) - 'event_id' from public.tenant_usage_realtime e where event_id = 'least' $$,
  'null is absent'
);
select is(
  (select (tokens_consumed, quantity, cost_usd, api_response_time_ms, api_status_code)::text
   from public.tenant_usage_realtime where event_id = 'largest'),
  '(9007199254740991,9999999999999.000000,999999999.0000000000,999999999.000,599)', 'the largest values fit'
);
select is((select count(*) from public.tenant_usage_realtime), 4::bigint, 'and nothing else');

update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('acme');
select record_usage(tests.tenant_id('acme'), '[{"event_id": "later", "event_type": "search"}]');
select is(
  (select event_timestamp from public.tenant_usage_realtime where event_id = 'later'), now() + interval '40 days',
  'an event without a time happened now, by the tenant''s clock'
);

select * from finish();
rollback;
