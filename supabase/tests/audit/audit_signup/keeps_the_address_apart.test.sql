begin;
select plan(5);

select set_config('request.headers', '{"x-real-ip": "203.0.113.7", "user-agent": "Firefox"}', true);
select tests.create_user('ann');
insert into auth.users (id, email) values (tests.user_id('guest'), null);
select results_eq(
  $$ select event_type, action, tenant_id, entity_type, actor_type::text, source::text, old_values, new_values, ip_address, user_agent
     from public.audit_events where entity_id = tests.user_id('ann')::text $$,
  $$ values ('user_signup', 'created', null::uuid, 'user', 'visitor', 'database', null::jsonb, null::jsonb, '203.0.113.7'::inet, 'Firefox') $$,
  'a sign-up is an event of a visitor'
);
select is(
  (select actor_id from public.audit_events where event_type = 'user_signup' and entity_id = tests.user_id('ann')::text), tests.user_id('ann')::text,
  'who is that user'
);
select is(
  (select personal from public.audit_events where entity_id = tests.user_id('ann')::text), '{"email": "ann@example.com"}',
  'the address is personal data'
);
select is_empty(
  $$ select from public.audit_events e where (to_jsonb(e) - 'personal')::text like '%ann@example.com%' $$, 'and nowhere else'
);
select is(
  (select count(*) from public.audit_events where entity_id = tests.user_id('guest')::text), 1::bigint, 'who has no address signs up as well'
);

select * from finish();
rollback;
