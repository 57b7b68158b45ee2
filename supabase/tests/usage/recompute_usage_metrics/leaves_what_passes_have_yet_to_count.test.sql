begin;
select plan(9);

select tests.create_tenant('acme', 'trial');
create function pg_temp.at(p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - interval '24 hours' + p_time
$$;
create function pg_temp.record(p_id text, p_at timestamptz, p_tokens int) returns void language sql as $$
  select record_usage(tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object(
    'event_id', p_id, 'event_type', 'chat_message', 'event_timestamp', p_at, 'tokens_consumed', p_tokens,
    'metadata', jsonb_build_object('session_id', 's')
  )))
$$;
create function pg_temp.usage()
returns table (hour timestamptz, tokens bigint, sessions bigint, denied bigint, peak bigint) language sql as $$
  select period_start, total_tokens_used, chat_sessions_created, quota_exceeded_count, peak_qps
  from public.tenant_usage_metrics where period_type = 'hourly' and period_start < date_trunc('hour', now(), 'UTC')
$$;

select pg_temp.record('a', pg_temp.at('10:00'), 1);
select aggregate_usage_metrics();
select pg_temp.record('b', pg_temp.at('10:00'), 10);
select pg_temp.record('c', pg_temp.at('09:00'), 100);
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
select is(
  (select events_processed from recompute_usage_metrics('-infinity', 'infinity')), 1::bigint,
  'only what is counted is counted anew'
);
select bag_eq(
  'select * from pg_temp.usage()', $$ values (pg_temp.at('10:00'), 1::bigint, 1::bigint, 0::bigint, 1::bigint) $$, 'as it was'
);
select is((select count(*) from private.usage_batches), 3::bigint, 'what waits, waits');
select results_eq(
  $$ select first_ts from private.chat_sessions $$, $$ values (pg_temp.at('10:00')) $$, 'with its sessions'
);
select is_empty('select from public.tenant_usage_metrics where quota_exceeded_count > 0', 'and its denials');
select is((select events_processed from aggregate_usage_metrics()), 2::bigint, 'for the next pass');
select bag_eq(
  'select * from pg_temp.usage()',
  $$ values (pg_temp.at('10:00'), 11::bigint, 0::bigint, 0::bigint, 2::bigint), (pg_temp.at('09:00'), 100, 1, 0, 1) $$,
  'which counts it'
);
select recompute_usage_metrics('-infinity', 'infinity');
select bag_eq(
  'select * from pg_temp.usage()',
  $$ values (pg_temp.at('10:00'), 11::bigint, 0::bigint, 0::bigint, 2::bigint), (pg_temp.at('09:00'), 100, 1, 0, 1) $$, 'once'
);
select is(
  (select sum(quota_exceeded_count) from public.tenant_usage_metrics where period_type = 'hourly'), 1::numeric, 'the denial, too'
);

select * from finish();
rollback;
