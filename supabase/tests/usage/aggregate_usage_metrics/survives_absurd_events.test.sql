begin;
select plan(10);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.record(p_tenant text, p_count int, p_event jsonb) returns int language sql as $$
  select r.accepted from record_usage(tests.tenant_id(p_tenant), (
    select jsonb_agg(jsonb_build_object('event_id', gen_random_uuid(), 'event_type', 'embedding',
      'event_timestamp', date_trunc('day', now(), 'UTC') - interval '10 hours') || p_event)
    from generate_series(1, p_count)
  )) r
$$;
select is(
  pg_temp.record('acme', 3000,
    '{"tokens_consumed": 9007199254740991, "quantity": 9999999999999, "cost_usd": 999999999, "api_response_time_ms": 999999999}'),
  3000, 'the largest numbers, many times'
);
select is(
  pg_temp.record('acme', 2,
    jsonb_build_object('event_type', 'chat_message', 'metadata', jsonb_build_object('session_id', repeat('x', 16300)))),
  2, 'a session_id of 16 kB'
);
select is(
  (select pg_temp.record('acme', 1,
    jsonb_build_object('event_type', 'chat_message', 'metadata',
      jsonb_build_object('session_id', repeat(md5('1'), 500) || 'y')))),
  1, 'and another'
);
select is(
  pg_temp.record('acme', 1, '{"api_response_time_ms": 0, "tokens_consumed": 0, "quantity": 0, "api_status_code": 599}'),
  1, 'no time, and no quantity'
);
select is(
  pg_temp.record('acme', 1,
    '{"event_type": "chat_message", "metadata": {"session_id": {"a": [1]}, "direction": {"b": null}}}'), 1, 'objects for text'
);
select pg_temp.record('rival', 1, '{"tokens_consumed": 7}');
select is((select events_processed from aggregate_usage_metrics()), 3006::bigint, 'are counted');
create temp table counted as
select to_jsonb(m) - 'metric_id' as usage from public.tenant_usage_metrics m where period_type = 'daily';
select is(
  (select (usage ->> 'total_tokens_used', usage ->> 'embeddings_generated', (usage ->> 'estimated_cost_usd')::numeric,
     usage ->> 'chat_sessions_created',
     usage ->> 'api_latency_p50_ms' )::text from counted where usage ->> 'tenant_id' = tests.tenant_id('acme')::text),
  (select ('9007199254740991', '9007199254740991', 2999999997000.0000000000, '3',
     round(private.latency_bucket(999999999)::numeric, 3)::text)::text),
  'as far as they can be read'
);
select is(
  (select (usage ->> 'total_tokens_used') from counted where usage ->> 'tenant_id' = tests.tenant_id('rival')::text), '7',
  'and no other tenant''s usage waits for them'
);
select is(tests.error_of($$ select recompute_usage_metrics('-infinity', 'infinity') $$), null, 'they can be counted anew');
select bag_eq(
  $$ select to_jsonb(m) - 'metric_id' from public.tenant_usage_metrics m where period_type = 'daily' $$,
  'select usage from counted', 'to the same'
);

select * from finish();
rollback;
