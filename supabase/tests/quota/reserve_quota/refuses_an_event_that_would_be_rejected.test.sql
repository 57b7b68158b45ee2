begin;
select plan(15);

select tests.create_tenant('acme', 'trial');
create function pg_temp.fault(p_event text, p_amount bigint default 1, p_metric text default 'tokens') returns text language sql as $$
  select tests.error_of(format(
    'select reserve_quota(tests.tenant_id(''acme''), %L, %L, event => %L)', p_metric, p_amount, p_event
  ))
$$;

select is(pg_temp.fault('{"event_id": "e", "event_type": "chat_message"}'), null, 'one that would be accepted is fine');
select is(pg_temp.fault('{"event_type": "chat_message"}'), 'PT400 missing_field', 'one without an id');
select is(pg_temp.fault('{"event_id": "e"}'), 'PT400 missing_field', 'without a type');
select is(pg_temp.fault('{"event_id": "e", "event_type": "nonsense"}'), 'PT400 unknown_event_type', 'of an unknown type');
select is(pg_temp.fault('[]'), 'PT400 not_an_object', 'a list');
select is(pg_temp.fault('null'), 'PT400 not_an_object', 'a null');
select is(pg_temp.fault('"e"'), 'PT400 not_an_object', 'a string');
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "chat_message", "metadata": 1}'), 'PT400 not_an_object', 'with bad metadata'
);
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "chat_message", "event_timestamp": "yesterday"}'), 'PT400 invalid_timestamp',
  'of no time'
);
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "chat_message", "event_timestamp": "2000-01-01T00:00:00Z"}'), 'PT400 too_old',
  'of a time too long ago'
);
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "chat_message", "cost_usd": -1}'), 'PT400 negative_amount', 'with a negative cost'
);
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "chat_message", "tokens_consumed": "x"}'), null,
  'but its amount is not the event''s to say'
);
select is(
  pg_temp.fault('{"event_id": "e", "event_type": "execution"}', 9999999999999 + 1, 'executions'), 'PT400 out_of_range',
  'an amount that no event holds is refused'
);
select is((select count(*) from private.quota_reservations), 2::bigint, 'nothing is held for what is refused');
select is((select used from private.quota_counters), 2::bigint, 'nor taken');

select * from finish();
rollback;
