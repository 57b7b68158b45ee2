begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
create function pg_temp.fault(p_events jsonb) returns text language sql as $$
  select tests.error_of(format('select record_usage(tests.tenant_id(''acme''), %L)', p_events))
$$;
create function pg_temp.events(p_count int) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('event_id', 'e' || i, 'event_type', 'search')) from generate_series(1, p_count) i
$$;

select is(pg_temp.fault('{"event_id": "a", "event_type": "search"}'), 'PT400 invalid_events', 'one event');
select is(pg_temp.fault('null'), 'PT400 invalid_events', 'a JSON null');
select is(pg_temp.fault(null), 'PT400 invalid_events', 'nothing');
select is(pg_temp.fault(pg_temp.events(5001)), 'PT400 too_many_events', 'more than 5000 events');
select is_empty('select from public.tenant_usage_realtime', 'none of which is stored');
select is(
  (select accepted from record_usage(tests.tenant_id('acme'), pg_temp.events(5000))), 5000, 'but not 5000'
);
select is(
  (select (accepted, duplicates, rejected)::text from record_usage(tests.tenant_id('acme'), '[]')), '(0,0,[])', 'nor none'
);

select * from finish();
rollback;
