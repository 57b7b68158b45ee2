begin;
select plan(2);

select tests.create_tenant('acme', 'trial');
insert into private.chat_sessions (tenant_id, session, first_ts, last_ts)
values (tests.tenant_id('acme'), md5('old')::uuid, now() - interval '40 days', now() - interval '32 days 1 second'),
  (tests.tenant_id('acme'), md5('recent')::uuid, now() - interval '40 days', now() - interval '32 days'),
  (tests.tenant_id('acme'), md5('new')::uuid, now(), now());

select private.prune_usage_event_keys();
select set_eq(
  'select session from private.chat_sessions', array[md5('recent')::uuid, md5('new')::uuid],
  'sessions are known for 32 days after their last message'
);
select record_usage(tests.tenant_id('acme'),
  '[{"event_id": "a", "event_type": "chat_message", "metadata": {"session_id": "recent"}}]');
select aggregate_usage_metrics();
select is(
  (select sum(chat_sessions_created) from public.tenant_usage_metrics), 0::numeric, 'until then a message begins none'
);

select * from finish();
rollback;
