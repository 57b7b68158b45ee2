begin;
select plan(10);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
-- Noon of tomorrow, so that the day has hours before and after.
update public.tenants set clock_offset = date_trunc('day', now(), 'UTC') + interval '36 hours' - now();
create temp table day as select date_trunc('day', now(), 'UTC') + interval '24 hours' as starts_at;

select is(
  (select to_jsonb(t) - array['tenant_id', 'period_start', 'period_end'] from get_today_usage(tests.tenant_id('acme')) t),
  '{"period_type": "daily", "api_calls_total": 0, "api_calls_successful": 0, "api_calls_failed": 0, "api_calls_rate_limited": 0,
    "api_latency_avg_ms": null, "api_latency_p50_ms": null, "api_latency_p95_ms": null, "api_latency_p99_ms": null,
    "chat_messages_sent": 0, "chat_messages_received": 0, "chat_sessions_created": 0, "chat_avg_response_time_ms": null,
    "embeddings_generated": 0, "embeddings_tokens_used": 0, "semantic_searches_performed": 0, "total_tokens_used": 0,
    "estimated_cost_usd": 0, "quota_limit": 10000, "quota_remaining": 10000, "quota_exceeded_count": 0, "error_count": 0,
    "error_rate": 0, "peak_qps": 0}'::jsonb,
  'of a day without events'
);

create temp table events (at interval, type text, status int, ms numeric, tokens int, quantity numeric, cost numeric, metadata jsonb);
insert into events values
  ('00:00:00', 'api_call', 200, 10, 0, 1, null, '{}'),
  ('00:00:00.9', 'api_call', 201, 20, 0, 1, null, '{}'),
  ('00:00:01', 'api_call', 302, 30, 0, 1, null, '{}'),
  ('01:00:00', 'api_call', 429, 1, 0, 1, null, '{}'),
  ('01:00:01', 'api_call', 404, 5, 0, 1, null, '{}'),
  ('01:00:02', 'api_call', 500, 100, 0, 1, null, '{}'),
  ('02:00:00', 'chat_message', 200, 400, 100, 1, 0.25, '{"session_id": "s1", "direction": "sent"}'),
  ('02:00:01', 'chat_message', null, 600, 200, 1, 0.5, '{"session_id": "s1", "direction": "received"}'),
  ('02:00:02', 'chat_message', null, null, 50, 1, null, '{"session_id": "s2"}'),
  ('03:00:00', 'embedding', null, null, 1000, 3, null, '{}'),
  ('03:00:01', 'embedding', null, null, 500, 1, null, '{}'),
  ('04:00:00', 'search', null, null, 7, 1, null, '{}'),
  ('12:04:59', 'search', null, null, 0, 1, null, '{}'),
  ('-00:00:00.000001', 'search', 500, 9999, 9999, 1, 9, '{}');
select is(
  (select accepted from record_usage(tests.tenant_id('acme'), (
    select jsonb_agg(jsonb_build_object(
      'event_id', at, 'event_type', type, 'event_timestamp', starts_at + at, 'tokens_consumed', tokens, 'quantity', quantity,
      'cost_usd', cost, 'api_status_code', status, 'api_response_time_ms', ms, 'metadata', metadata
    ))
    from events, day
  ))),
  14, 'with thirteen events of the day and the last of the day before'
);
select record_usage(tests.tenant_id('rival'), '[{"event_id": "a", "event_type": "search", "tokens_consumed": 5}]');
select consume_quota(tests.tenant_id('acme'), 'tokens', 9000);
select consume_quota(tests.tenant_id('acme'), 'tokens', 1001);
create temp table today as select * from get_today_usage(tests.tenant_id('acme'));

select is(
  (select (tenant_id, period_type, period_start, period_end)::text from today),
  (select (tests.tenant_id('acme'), 'daily', starts_at, starts_at + interval '24 hours')::text from day), 'the tenant''s UTC day'
);
-- 7 events carry a status: 4 below 400, one 429, and 404 and 500 failed.
select is(
  (select (api_calls_total, api_calls_successful, api_calls_failed, api_calls_rate_limited, error_count, error_rate)::text
   from today),
  '(7,4,2,1,2,0.285714)', 'calls, and how they ended'
);
-- 1 5 10 20 30 100 400 600: between the 4th and 5th, and 0.65 and 0.93 of the way from the 7th to the 8th.
select is(
  (select (api_latency_avg_ms, api_latency_p50_ms, api_latency_p95_ms, api_latency_p99_ms)::text from today),
  '(145.750,25.000,530.000,586.000)', 'how long they took'
);
select is(
  (select (chat_messages_sent, chat_messages_received, chat_sessions_created, chat_avg_response_time_ms)::text from today),
  '(2,1,2,500.000)', 'chat'
);
select is(
  (select (embeddings_generated, embeddings_tokens_used, semantic_searches_performed)::text from today), '(4,1500,2)',
  'embeddings and searches'
);
select is(
  (select (total_tokens_used, estimated_cost_usd)::text from today), '(1857,0.7500000000)', 'tokens and their cost'
);
select is(
  (select (quota_limit, quota_remaining, quota_exceeded_count, peak_qps)::text from today), '(10000,1000,1,2)',
  'the tokens'' quota, and the busiest second'
);
select is(
  (select (total_tokens_used, quota_exceeded_count, api_calls_total)::text from get_today_usage(tests.tenant_id('rival'))),
  '(5,0,0)', 'another tenant has their own day'
);

select * from finish();
rollback;
