begin;
select plan(35);

select tests.create_user(name) from unnest(array['ann', 'bob']) name;
insert into public.tenants (id, name, slug) values
  (tests.tenant_id('filtered'), 'filtered', 'filtered'), (tests.tenant_id('unfiltered'), 'unfiltered', 'unfiltered');
delete from public.audit_events where entity_type = 'tenant' and entity_id in (tests.tenant_id('filtered')::text, tests.tenant_id('unfiltered')::text);

select log_audit_event(
  tests.tenant_id(t), type, action, entity, entity || '1', severity => severity::public.audit_severity,
  result => result::public.audit_result, actor_type => actor::public.audit_actor,
  actor_id => tests.user_id('ann')::text
)
from (values
  ('filtered', 'payment_failed', 'charge', 'invoice', 'error', 'failure', 'tenant'),
  ('filtered', 'payment_made', 'charge', 'invoice', 'info', 'success', 'api_key'),
  ('filtered', 'paymentxfailed', 'other', 'card', 'info', 'partial', 'system'),
  ('filtered', 'pay', 'pay', 'card', 'info', 'success', 'system'),
  ('unfiltered', 'payment_failed', 'charge', 'invoice', 'error', 'failure', 'tenant')
) as e (t, type, action, entity, severity, result, actor);
-- Types as they may not be told, but stand for what LIKE reads.
insert into public.audit_events (tenant_id, event_type, action, actor_type, actor_id, occurred_at) values
  (tests.tenant_id('filtered'), '100%', 'odd', 'visitor', tests.user_id('bob')::text, now() - interval '1 second'),
  (tests.tenant_id('filtered'), '1000', 'odd', 'visitor', tests.user_id('bob')::text, now() - interval '2 seconds'),
  (tests.tenant_id('filtered'), 'a\b', 'odd', 'visitor', null, now() - interval '3 seconds');
-- The types that are found, sorted.
create function pg_temp.found(p_arguments text) returns text language plpgsql as $$
declare
  v_text text;
begin
  execute format(
    'select string_agg(event_type, %L order by event_type collate "C") from get_audit_events(tests.tenant_id(%L)%s)', ' ', 'filtered', p_arguments
  ) into v_text;
  return v_text;
end
$$;

select is(pg_temp.found(''), '100% 1000 a\b pay payment_failed payment_made paymentxfailed', 'all events of the tenant, and of no other');
select is(pg_temp.found(', action => ''charge'''), 'payment_failed payment_made', 'by an action');
select is(pg_temp.found(', action => ''charg'''), null, 'that is whole');
select is(pg_temp.found(', action => ''pay'''), 'pay payment_failed payment_made paymentxfailed', 'by how a type begins');
select is(pg_temp.found(', action => ''payment_'''), 'payment_failed payment_made', 'where an underscore is one');
select is(pg_temp.found(', action => ''payment_failed'''), 'payment_failed', 'or ends');
select is(pg_temp.found(', action => ''100%'''), '100%', 'and a percent sign is one');
select is(pg_temp.found(', action => ''%'''), null, 'alone as well');
select is(pg_temp.found(', action => ''a\'''), 'a\b', 'so is a backslash');
select log_audit_event(null, t) from unnest(array['x_y_z', 'x_yaz', 'xay_z']) t;
select is(
  (select array_agg(event_type) from get_audit_events(action => 'x_y_')), array['x_y_z'], 'each of several'
);
select is(pg_temp.found(', action => ''failed'''), null, 'a type''s end finds nothing');
select is(pg_temp.found(', entity_type => ''card'''), 'pay paymentxfailed', 'by what it was done to');
select is(pg_temp.found(', entity_id => ''invoice1'''), 'payment_failed payment_made', 'or its id');
select is(pg_temp.found(', actor_type => ''api_key'''), 'payment_made', 'by a kind of actor');
select is(pg_temp.found(', user_id => tests.user_id(''bob'')'), '100% 1000', 'by who it was');
select is(pg_temp.found(', severity => ''error'''), 'payment_failed', 'by severity');
select is(pg_temp.found(', result => ''partial'''), 'paymentxfailed', 'by result');
select is(pg_temp.found(', source => ''database'''), '100% 1000 a\b', 'by who tells of it');
select is(pg_temp.found(', category => ''failed'''), 'payment_failed paymentxfailed', 'what did not succeed, or not wholly');
select is(pg_temp.found(', category => ''security'''), null, 'what concerns security, of which there is nothing yet');
select is(pg_temp.found(', category => ''activity'''), null, 'or the team');
select log_audit_event(tests.tenant_id('filtered'), 'security_violation');
insert into public.memberships (tenant_id, user_id, role) values (tests.tenant_id('filtered'), tests.user_id('ann'), 'viewer');
select is(pg_temp.found(', category => ''security'''), 'membership_created security_violation', 'then both');
select is(pg_temp.found(', category => ''activity'''), 'membership_created', 'or the one');
delete from public.audit_events where event_type in ('security_violation', 'membership_created');
select is(
  tests.error_of($$ select get_audit_events(tests.tenant_id('filtered'), category => 'other') $$), 'PT400 invalid_category',
  'a category is one of three'
);
select is(pg_temp.found(', from_ts => now()'), 'pay payment_failed payment_made paymentxfailed', 'from a moment on');
select is(pg_temp.found(', to_ts => now()'), '100% 1000 a\b', 'until before one');
select is(pg_temp.found(', from_ts => now() - interval ''2 seconds'', to_ts => now() - interval ''1 second'''), '1000', 'between two');
select is(
  pg_temp.found(', ''pay'', ''invoice'', ''invoice1'', ''tenant'', tests.user_id(''ann''), ''error'', ''failure'', now(), ''infinity'''),
  'payment_failed', 'all at once'
);
select is(pg_temp.found(', action => ''pay'', result => ''success'''), 'pay payment_made', 'each narrows');
select is((select count(*) from get_audit_events(severity => 'error')), 2::bigint, 'without a tenant, of all');
select results_eq(
  $$ select event_type from get_audit_events(tests.tenant_id('filtered'), actor_type => 'visitor') $$,
  $$ values ('100%'), ('1000'), ('a\b') $$, 'the newest first'
);

-- That one was dealt with stands beside it.
select resolve_audit_event(event_id, 'Card renewed') from get_audit_events(tests.tenant_id('filtered'), 'payment_failed');
select results_eq(
  $$ select event_type, resolved_at, resolved_by, resolution_note from get_audit_events(tests.tenant_id('filtered'), 'payment', 'invoice') order by 1 $$,
  $$ values ('payment_failed', now(), session_user::text collate "default", 'Card renewed'), ('payment_made', null, null, null) $$,
  'what was dealt with is told with it'
);
select results_eq(
  $$ select to_jsonb(g) - 'resolved_at' - 'resolved_by' - 'resolution_note' from get_audit_events(tests.tenant_id('filtered')) g $$,
  $$ select to_jsonb(e) from public.audit_events e where tenant_id = tests.tenant_id('filtered') order by occurred_at desc, event_id desc $$,
  'every column is the event''s'
);
select is(pg_temp.found(', action => ''audit_event_resolved'''), 'audit_event_resolved', 'and that is an event, too');
select is((select count(*) from get_audit_events(tests.tenant_id('nobody'))), 0::bigint, 'a tenant without events has none');

select * from finish();
rollback;
