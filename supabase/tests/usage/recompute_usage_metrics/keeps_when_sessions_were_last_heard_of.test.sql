begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(p_id text, p_at timestamptz) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'chat_message', 'event_timestamp', p_at, 'metadata', '{"session_id": "s"}'::jsonb
  )))
$$;
select pg_temp.record('a', now() - interval '25 days');
select pg_temp.record('b', now() - interval '1 day');
select aggregate_usage_metrics();
create temp table before as select * from private.chat_sessions;
select recompute_usage_metrics(now() - interval '2 days', now());
select bag_eq(
  'select * from private.chat_sessions', 'select * from before', 'the days of its last message do not begin a session'
);
select recompute_usage_metrics(now() - interval '26 days', now() - interval '24 days');
select bag_eq('select * from private.chat_sessions', 'select * from before', 'nor do those of its first end it');

-- Ten days on, it is still known.
update private.chat_sessions set first_ts = first_ts - interval '10 days', last_ts = last_ts - interval '10 days';
select private.prune_usage_event_keys();
select is((select count(*) from private.chat_sessions), 1::bigint, 'so it is not forgotten early');
select pg_temp.record('c', now());
select aggregate_usage_metrics();
select is(
  (select sum(chat_sessions_created) from public.tenant_usage_metrics where period_type = 'daily'), 1::numeric,
  'nor counted again'
);

select * from finish();
rollback;
