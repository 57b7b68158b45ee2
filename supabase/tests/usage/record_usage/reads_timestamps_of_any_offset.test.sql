begin;
select plan(2);

select tests.create_tenant('acme', 'trial');
create function pg_temp.event(p_id text, p_offset text, p_shift interval) returns jsonb language sql as $$
  select jsonb_build_object(
    'event_id', p_id, 'event_type', 'search',
    'event_timestamp', to_char((now() + p_shift) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || p_offset
  )
$$;
select is(
  (select (accepted, rejected)::text from record_usage(tests.tenant_id('acme'), jsonb_build_array(
    pg_temp.event('utc', 'Z', '0'), pg_temp.event('none', '', '0'), pg_temp.event('east', '+05:30', '5 hours 30 minutes'),
    pg_temp.event('west', '-0800', '-8 hours'), pg_temp.event('hour', '+02', '2 hours')
  ))),
  '(4,"[{""field"": ""event_timestamp"", ""index"": 4, ""reason"": ""invalid_timestamp"", ""event_id"": ""hour""}]")',
  'an offset has hours and minutes'
);
select is_empty(
  'select event_id, event_timestamp from public.tenant_usage_realtime where event_timestamp <> now()', 'and all are one instant'
);

select * from finish();
rollback;
