begin;
select plan(5);

create temp view tables as
select c.oid, c.relname::text as name,
  exists (
    select from pg_trigger t
    where t.tgrelid = c.oid and t.tgfoid = 'private.audit_change'::regproc and t.tgenabled = 'O' and t.tgqual is null
      and t.tgtype & 1 = 1 and t.tgtype & 2 = 0 -- for each row, after
      and t.tgtype & (4 | 8 | 16) = (4 | 8 | 16) -- insert, delete and update
  ) as is_audited
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e');
create temp table exempt (name text, reason text);
insert into exempt values
  ('audit_events', 'the events themselves'),
  ('audit_resolutions', 'resolve_audit_event, which alone writes it, records it'),
  ('alerts', 'a record itself, with who acknowledged and resolved it'),
  ('alert_notifications', 'the outbox: what it delivers is recorded where it is caused'),
  ('quota_decisions', 'receipts are a record, and denials are recorded'),
  ('usage_event_types', 'says what metering.attach counts, which the catalogue of metrics is recorded for'),
  ('tenant_usage_realtime', 'usage is a record'),
  ('tenant_usage_metrics', 'computed from usage'),
  ('tenant_metric_usage', 'computed from usage'),
  ('checkout_sessions', 'clicks are a record; what they lead to is recorded as the subscription'),
  ('stripe_events', 'what Stripe told is a record, and its effects are recorded'),
  ('invoices', 'Stripe''s own record, repeated; stripe_events has every version of it'),
  ('payments', 'a record, and each is recorded as payment_succeeded or payment_failed'),
  ('credit_ledger', 'append-only: a record itself');

select set_has(
  'select name from tables where is_audited',
  $$ values ('tenants'), ('memberships'), ('tenant_invites'), ('api_keys'), ('role_permissions'), ('platform_admins'),
       ('user_suspensions'), ('billing_plans'), ('plan_limits'), ('tenant_limits'), ('plan_prices'), ('metrics'), ('model_prices'),
       ('subscriptions'), ('alert_rule_types'), ('alert_rules'), ('alert_channels') $$,
  'changes of access, of plans, of limits and of alerts are recorded'
);
select is_empty(
  'select name from tables where not is_audited and name not in (select name from exempt)',
  'every table has the trigger audit_change for every change, or a reason why not'
);
select is_empty('select name from exempt where name in (select name from tables where is_audited)', 'no reason is given for a table that has it');
select is_empty('select name from exempt where name not in (select name from tables)', 'or for one that is not there');
-- A trigger of some columns leaves out no more than these.
select set_eq(
  $$ select t.tgrelid::regclass::text, a.attname::text from pg_trigger t
     join pg_attribute a on a.attrelid = t.tgrelid and a.attnum > 0 and not a.attisdropped and a.attnum <> all (t.tgattr::int2[])
     where t.tgfoid = 'private.audit_change'::regproc and cardinality(t.tgattr::int2[]) > 0$$,
  $$ values ('api_keys', 'created_at'), ('api_keys', 'created_by'), ('api_keys', 'id'), ('api_keys', 'last_used_at'), ('api_keys', 'parent_id'),
       ('api_keys', 'prefix'), ('api_keys', 'request_count'), ('api_keys', 'tenant_id') $$,
  'only what never changes or is counted goes unrecorded'
);

select * from finish();
rollback;
