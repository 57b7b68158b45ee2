begin;
select plan(3);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');

select tests.act_as_user('ann');
select record_usage(tests.tenant_id('acme'), '[
  {"event_id": "a", "event_type": "search", "subject": "someone else"}, {"event_id": "b", "event_type": "search"}
]');
select set_eq(
  'select event_id, subject from public.tenant_usage_realtime',
  $$ values ('a', tests.user_id('ann')::text), ('b', tests.user_id('ann')::text) $$,
  'a member''s events are theirs, whoever they name'
);
select tests.act_as_service_role();
select record_usage(tests.tenant_id('acme'), '[
  {"event_id": "c", "event_type": "search", "subject": "u1"}, {"event_id": "d", "event_type": "search"}
]');
select set_eq(
  $$ select event_id, subject from public.tenant_usage_realtime where event_id > 'b' $$,
  $$ values ('c', 'u1'), ('d', '') $$,
  'the service role''s are whose it says'
);
select is(
  (select (rejected -> 0 ->> 'reason') from record_usage(tests.tenant_id('acme'), '[
    {"event_id": "e", "event_type": "search", "subject": 7}
  ]')),
  'invalid_value', 'a subject is text'
);

select * from finish();
rollback;
