begin;
select plan(6);

create function pg_temp.summary(p_counts jsonb, p_limit bigint default null, p_type text default 'daily') returns jsonb
language sql as $$
  select to_jsonb(private.summarize_usage(
    tests.tenant_id('acme'), p_type, '2026-02-01 00:00Z',
    (select case when p_counts is not null then jsonb_populate_record(null::private.usage_counts, p_counts) end), p_limit
  ))
$$;

select is(
  pg_temp.summary('{
    "events": 12, "api_calls_successful": 4, "api_calls_failed": 2, "api_calls_rate_limited": 1, "latency_count": 3,
    "latency_total_ms": 10, "latency": {"latencies": [1, 2, 7], "counts": [1, 1, 1]}, "chat_messages_sent": 5,
    "chat_messages_received": 6, "chat_sessions_created": 3, "chat_response_count": 7, "chat_response_total_ms": 100,
    "embeddings_generated": 8, "embeddings_tokens_used": 9, "semantic_searches_performed": 10, "total_tokens_used": 11,
    "estimated_cost_usd": 0.12, "quota_exceeded_count": 13, "peak_qps": 14
  }', 15),
  jsonb_build_object(
    'tenant_id', tests.tenant_id('acme'), 'period_type', 'daily', 'period_start', '2026-02-01 00:00Z'::timestamptz,
    'period_end', '2026-02-02 00:00Z'::timestamptz
  ) || '{
    "api_calls_total": 7, "api_calls_successful": 4, "api_calls_failed": 2, "api_calls_rate_limited": 1,
    "api_latency_avg_ms": 3.333, "api_latency_p50_ms": 2.000, "api_latency_p95_ms": 6.500, "api_latency_p99_ms": 6.900,
    "chat_messages_sent": 5, "chat_messages_received": 6, "chat_sessions_created": 3, "chat_avg_response_time_ms": 14.286,
    "embeddings_generated": 8, "embeddings_tokens_used": 9, "semantic_searches_performed": 10, "total_tokens_used": 11,
    "estimated_cost_usd": 0.12, "quota_limit": 15, "quota_remaining": 4, "quota_exceeded_count": 13, "error_count": 2,
    "error_rate": 0.285714, "peak_qps": 14
  }'::jsonb,
  'each column from its counts'
);
select is(
  pg_temp.summary(null) - array['tenant_id', 'period_type', 'period_start', 'period_end'],
  '{
    "api_calls_total": 0, "api_calls_successful": 0, "api_calls_failed": 0, "api_calls_rate_limited": 0,
    "api_latency_avg_ms": null, "api_latency_p50_ms": null, "api_latency_p95_ms": null, "api_latency_p99_ms": null,
    "chat_messages_sent": 0, "chat_messages_received": 0, "chat_sessions_created": 0, "chat_avg_response_time_ms": null,
    "embeddings_generated": 0, "embeddings_tokens_used": 0, "semantic_searches_performed": 0, "total_tokens_used": 0,
    "estimated_cost_usd": 0, "quota_limit": null, "quota_remaining": null, "quota_exceeded_count": 0, "error_count": 0,
    "error_rate": 0, "peak_qps": 0
  }'::jsonb,
  'nothing counted is 0, and what cannot be said is null'
);
select is(pg_temp.summary('{"total_tokens_used": 20}', 15) -> 'quota_remaining', '0', 'less than nothing is never left');
select is(pg_temp.summary('{"total_tokens_used": 20}', 0) -> 'quota_limit', '0', 'a limit of 0 is one');
select is(
  (select array_agg((pg_temp.summary(null, null, type) ->> 'period_end')::timestamptz)
   from unnest(array['hourly', 'daily', 'monthly']) type),
  array['2026-02-01 01:00Z', '2026-02-02 00:00Z', '2026-03-01 00:00Z']::timestamptz[], 'periods end where the next begins'
);
select is(
  (select array_agg(pg_temp.summary(jsonb_build_object(field, 1e20)) ->> field)
   from unnest(array['total_tokens_used', 'embeddings_generated', 'embeddings_tokens_used']) field),
  array_fill('9007199254740991'::text, array[3]), 'what can grow without end is cut when it is read'
);

select * from finish();
rollback;
