begin;
select plan(10);

select tests.create_user('edit');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'edit', 'editor');
select set_config('request.headers', '{"x-real-ip": "203.0.113.7", "user-agent": "curl/8", "x-request-id": "r-1"}', true);
create function pg_temp.stored(p_id uuid) returns jsonb language sql as $$
  select to_jsonb(e) - 'event_id' - 'occurred_at' from public.audit_events e where e.event_id = p_id and e.occurred_at = now()
$$;

select tests.act_as_user('edit');
create temp table made as
select log_audit_event(
  tests.tenant_id('acme'), 'payment.failed', 'charge', 'invoice', 'in_1', '{"a": 1}', '{"a": 2}', 'A card was declined',
  'error', 'failure', 'card_declined', '{"try": 3}', '{"email": "ann@example.com"}', event_id => tests.user_id('event')
) as full_id, log_audit_event(tests.tenant_id('acme'), 'seen') as short_id;
select tests.act_as_owner();

select is((select full_id from made), tests.user_id('event'), 'the id is the one that was given');
select is(
  (select pg_temp.stored(full_id) from made),
  jsonb_build_object(
    'tenant_id', tests.tenant_id('acme'), 'event_type', 'payment.failed', 'action', 'charge', 'entity_type', 'invoice',
    'entity_id', 'in_1', 'actor_type', 'tenant', 'actor_id', tests.user_id('edit'), 'source', 'application',
    'severity', 'error', 'result', 'failure', 'old_values', '{"a": 1}'::jsonb, 'new_values', '{"a": 2}'::jsonb,
    'changes_summary', 'A card was declined', 'error_message', 'card_declined', 'metadata', '{"try": 3}'::jsonb,
    'personal', '{"email": "ann@example.com"}'::jsonb, 'ip_address', '203.0.113.7', 'user_agent', 'curl/8', 'request_id', 'r-1'
  ),
  'everything is stored as it was told, from where it came'
);
select is(
  (select pg_temp.stored(short_id) from made),
  jsonb_build_object(
    'tenant_id', tests.tenant_id('acme'), 'event_type', 'seen', 'action', 'seen', 'entity_type', null, 'entity_id', null,
    'actor_type', 'tenant', 'actor_id', tests.user_id('edit'), 'source', 'application', 'severity', 'info',
    'result', 'success', 'old_values', null, 'new_values', null, 'changes_summary', null, 'error_message', null,
    'metadata', '{}'::jsonb, 'personal', null, 'ip_address', '203.0.113.7', 'user_agent', 'curl/8', 'request_id', 'r-1'
  ),
  'what is not told has a default; the action is the event type'
);
select is(
  (select pg_temp.stored(log_audit_event(tests.tenant_id('acme'), 'seen', null, null, null, null, null, null, null, null, null, null))
     - 'actor_type' - 'actor_id'),
  (select pg_temp.stored(short_id) - 'actor_type' - 'actor_id' from made), 'null is not told'
);
select is_empty(
  $$ select e.event_id from public.audit_events e join made on e.event_id in (full_id, short_id)
     where not exists (select from private.audit_unsealed u where u.event_id = e.event_id) $$, 'they are in line for the chain'
);
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('acme');
select isnt(pg_temp.stored(log_audit_event(tests.tenant_id('acme'), 'seen')), null, 'the time is the real one, whatever the test clock says');
select is((select count(distinct log_audit_event(tests.tenant_id('acme'), 'seen')) from generate_series(1, 3)), 3::bigint, 'each call without an id is another event');
select is((select problems from verify_audit_chain(tests.tenant_id('acme'))), '[]', 'the chain is whole');
select is((select pg_temp.stored(log_audit_event(null, 'deployed')) ->> 'tenant_id'), null, 'an operator tells of what belongs to no tenant');
select is((select is_intact from verify_audit_chain(null)), true, 'which has a chain as well');

select * from finish();
rollback;
