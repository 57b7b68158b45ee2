begin;
select plan(13);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.at(p_days int, p_time interval) returns timestamptz language sql as $$
  select date_trunc('day', now(), 'UTC') - p_days * interval '24 hours' + p_time
$$;
-- Records a message and passes; returns the hours of the tenant's sessions.
create function pg_temp.hours(p_tenant text, p_type text, p_at timestamptz, p_metadata jsonb) returns text language plpgsql as $$
begin
  perform record_usage(tests.tenant_id(p_tenant), jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', p_type, 'event_timestamp', p_at, 'metadata', p_metadata
  )));
  perform aggregate_usage_metrics();
  return (
    select string_agg(
      extract(hour from m.period_start at time zone 'UTC') || ': ' || m.chat_sessions_created, ', ' order by m.period_start
    )
    from public.tenant_usage_metrics m
    where m.tenant_id = tests.tenant_id(p_tenant) and m.period_type = 'hourly' and m.chat_sessions_created <> 0
  );
end
$$;

select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '10:00'), '{"session_id": "a"}'), '10: 1',
  'a session counts with its message'
);
select is(pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '10:10'), '{"session_id": "a"}'), '10: 1', 'once');
select is(pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '12:00'), '{"session_id": "a"}'), '10: 1', 'in no later hour');
select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '12:00'), '{"session_id": "b"}'), '10: 1, 12: 1', 'another is another'
);
select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '08:00'), '{"session_id": "a"}'), '8: 1, 12: 1',
  'an earlier message moves it'
);
select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(4, '07:00'), '{"session_id": "a"}'), '7: 1, 12: 1', 'to the day before, too'
);
select results_eq(
  $$ select period_start, chat_sessions_created from public.tenant_usage_metrics
     where tenant_id = tests.tenant_id('acme') and period_type = 'daily' order by 1 $$,
  $$ values (pg_temp.at(4, '0'), 1::bigint), (pg_temp.at(3, '0'), 1) $$, 'with its day'
);
select is(
  (select sum(chat_sessions_created) from public.tenant_usage_metrics
   where tenant_id = tests.tenant_id('acme') and period_type = 'monthly'),
  2::numeric, 'and stays one of its month'
);
select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '13:00'), '{"session_id": ""}'), '7: 1, 12: 1', 'an empty id is no session'
);
select is(
  pg_temp.hours('acme', 'search', pg_temp.at(3, '13:00'), '{"session_id": "c"}'), '7: 1, 12: 1', 'nor is that of something else'
);
select is(
  pg_temp.hours('acme', 'chat_message', pg_temp.at(3, '14:00'), '{"session_id": 7}'), '7: 1, 12: 1, 14: 1',
  'an id need not be text'
);
select is(
  pg_temp.hours('rival', 'chat_message', pg_temp.at(3, '20:00'), '{"session_id": "a"}'), '20: 1', 'another tenant''s is theirs'
);
select results_eq(
  $$ select first_ts, last_ts from private.chat_sessions where tenant_id = tests.tenant_id('acme') order by 1 $$,
  $$ values (pg_temp.at(4, '07:00'), pg_temp.at(3, '12:00')), (pg_temp.at(3, '12:00'), pg_temp.at(3, '12:00')),
       (pg_temp.at(3, '14:00'), pg_temp.at(3, '14:00')) $$,
  'when each began and last was heard of is remembered'
);

select * from finish();
rollback;
