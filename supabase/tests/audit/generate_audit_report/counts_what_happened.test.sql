begin;
select plan(14);

select tests.create_user(name) from unnest(array['olga', 'vic']) name;
select tests.create_tenant('acme', 'trial');
delete from public.audit_events where tenant_id = tests.tenant_id('acme');
delete from private.audit_unsealed where tenant_id = tests.tenant_id('acme');
select tests.add_member('acme', 'vic', 'viewer');
update public.memberships set role = 'admin' where user_id = tests.user_id('vic');
select log_audit_event(tests.tenant_id('acme'), type, entity_type => 'membership', severity => s::public.audit_severity, result => r::public.audit_result)
from (values
  ('payment_failed', 'error', 'failure'), ('payment_failed', 'critical', 'failure'), ('exported', 'info', 'partial'),
  ('security_alert', 'warning', 'success'), ('rate_limit_exceeded', 'info', 'success'), ('membership_praised', 'info', 'success')
) as e (type, s, r);
-- The day before, and another tenant's.
insert into public.audit_events (tenant_id, event_type, action, actor_type, occurred_at, severity)
values (tests.tenant_id('acme'), 'old', 'old', 'visitor', date_trunc('day', now(), 'UTC') - interval '1 microsecond', 'critical'),
  (tests.tenant_id('rival'), 'x', 'x', 'system', now(), 'critical');
select resolve_audit_event(event_id) from public.audit_events where severity = 'error' and tenant_id = tests.tenant_id('acme');
create temp table report as
select generate_audit_report(tests.tenant_id('acme'), date_trunc('day', now(), 'UTC'), now() + interval '1 second') as r;
create function pg_temp.part(variadic p_keys text[]) returns jsonb language sql as $$
  select jsonb_object_agg(k, r -> k) from report, unnest(p_keys) k
$$;

select is(
  pg_temp.part('tenant_id', 'from', 'to', 'generated_at'),
  jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'from', date_trunc('day', now(), 'UTC'), 'to', now() + interval '1 second', 'generated_at', now()),
  'a report says of what it is'
);
select is(
  pg_temp.part('total_events', 'failed_operations', 'security_events', 'severe_events', 'unresolved_severe_events', 'actors'),
  '{"total_events": 9, "failed_operations": 3, "security_events": 5, "severe_events": 2, "unresolved_severe_events": 1, "actors": 1}',
  'what there is, and what needs a look'
);
select is(
  pg_temp.part('by_event_type'),
  '{"by_event_type": {"membership_created": 1, "membership_praised": 1, "membership_updated": 1, "payment_failed": 2, "exported": 1, "security_alert": 1,
    "rate_limit_exceeded": 1, "audit_event_resolved": 1}}', 'by type'
);
select is(pg_temp.part('by_severity'), '{"by_severity": {"info": 6, "warning": 1, "error": 1, "critical": 1}}', 'by severity');
select is(pg_temp.part('by_result'), '{"by_result": {"success": 6, "failure": 2, "partial": 1}}', 'by result');
select is(pg_temp.part('by_actor_type'), '{"by_actor_type": {"system": 9}}', 'by actor');
select is(
  (select array_agg(k order by k collate "C") from report, jsonb_object_keys(r -> 'by_action') k),
  array['created', 'exported', 'membership_praised', 'payment_failed', 'rate_limit_exceeded', 'resolved', 'security_alert', 'updated'],
  'by action'
);
select is(
  pg_temp.part('by_day'), jsonb_build_object('by_day', jsonb_build_object(to_char(now() at time zone 'UTC', 'YYYY-MM-DD'), 9)), 'by day'
);
select set_eq(
  $$ select jsonb_array_elements(r -> 'access_changes') from report $$,
  $$ select jsonb_build_object('occurred_at', now(), 'event_type', t, 'entity_id', tests.user_id('vic'), 'actor_type', 'system',
       'actor_id', session_user, 'old_role', o, 'new_role', n)
     from (values ('membership_created', null, 'viewer'), ('membership_updated', 'viewer', 'admin')) as c (t, o, n) $$,
  'who got which access, as the database saw it and not as the application tells'
);
select is(
  (select r -> 'integrity' ->> 'is_intact' from report), 'false', 'that the chain is not whole, as with events that were put in'
);
delete from public.audit_events where event_type = 'old';
select is(
  (select generate_audit_report(tests.tenant_id('acme'), now(), now()) -> 'integrity'),
  (select to_jsonb(v) from verify_audit_chain(tests.tenant_id('acme')) v), 'or that it is'
);
select is(
  (select r - 'generated_at' - 'from' - 'to' - 'tenant_id' - 'integrity' from generate_audit_report(tests.tenant_id('acme'), '2020-01-01', '2020-02-01') r),
  '{"total_events": 0, "failed_operations": 0, "security_events": 0, "severe_events": 0, "unresolved_severe_events": 0, "actors": 0,
    "by_event_type": {}, "by_action": {}, "by_severity": {}, "by_result": {}, "by_actor_type": {}, "by_day": {}, "access_changes": []}',
  'where nothing happened, everything is empty'
);
set local timezone = 'Asia/Kathmandu';
select is(
  (select generate_audit_report(tests.tenant_id('acme'), now(), now() + interval '1 second') -> 'by_day'),
  jsonb_build_object(to_char(now() at time zone 'UTC', 'YYYY-MM-DD'), 9), 'days are those of UTC'
);
select set_eq(
  $$ select t from unnest(array['security_x', 'api_key_created', 'membership_deleted', 'tenant_invite_created', 'user_suspension_created',
       'rate_limit_exceeded', 'unauthorized_access', 'user_signup', 'tenant_updated', 'x_security_', 'insecurity']) t where private.is_security_event(t) $$,
  $$ values ('security_x'), ('api_key_created'), ('membership_deleted'), ('tenant_invite_created'), ('user_suspension_created'),
       ('rate_limit_exceeded'), ('unauthorized_access') $$,
  'security is what concerns access'
);

select * from finish();
rollback;
