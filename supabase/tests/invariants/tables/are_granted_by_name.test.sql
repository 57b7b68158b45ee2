begin;
select plan(9);

create temp view grants as
select c.relname, r.rolname, p.privilege
from pg_class c
cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)
cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p (privilege)
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and case when p.privilege in ('delete', 'truncate', 'trigger')
    then has_table_privilege(r.rolname, c.oid, p.privilege)
    else has_any_column_privilege(r.rolname, c.oid, p.privilege)
  end;

select set_eq(
  $$ select relname || ' ' || privilege from grants where rolname = 'anon' $$,
  array[
    'billing_plans select', 'metrics select', 'model_prices select', 'plan_limits select', 'plan_prices select',
    'price_list select', 'usage_event_types select'
  ],
  'anon reads the catalogue, and writes nothing'
);
create temp view writable as
select c.relname, a.attname, r.rolname,
  has_column_privilege(r.rolname, c.oid, a.attnum, 'insert') as is_insertable, has_column_privilege(r.rolname, c.oid, a.attnum, 'update') as is_updatable
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
cross join (values ('authenticated'), ('service_role')) as r (rolname)
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v');
select set_eq(
  $$ select relname || '.' || attname from writable where rolname = 'authenticated' and is_insertable $$,
  array[
    'alert_channels.config', 'alert_channels.enabled', 'alert_channels.min_severity', 'alert_channels.name', 'alert_channels.tenant_id',
    'alert_channels.type',
    'alert_rules.channel_ids', 'alert_rules.cooldown', 'alert_rules.enabled', 'alert_rules.metric', 'alert_rules.name',
    'alert_rules.severity', 'alert_rules.tenant_id', 'alert_rules.threshold', 'alert_rules.type', 'alert_rules.window_minutes'
  ],
  'a signed-in user adds rules and channels of alerts, and nothing else'
);
select set_eq(
  $$ select relname || '.' || attname from writable where rolname = 'authenticated' and is_updatable $$,
  array[
    'alert_channels.config', 'alert_channels.enabled', 'alert_channels.min_severity', 'alert_channels.name',
    'alert_rules.channel_ids', 'alert_rules.cooldown', 'alert_rules.enabled', 'alert_rules.metric', 'alert_rules.name',
    'alert_rules.severity', 'alert_rules.threshold', 'alert_rules.window_minutes', 'tenants.name'
  ],
  'changes them, but neither their tenant nor their type, and a tenant''s name'
);
select is_empty(
  $$ select * from writable s join writable a using (relname, attname)
     where s.relname ~ '^alert' and s.rolname = 'service_role' and a.rolname = 'authenticated'
       and (s.is_insertable, s.is_updatable) <> (a.is_insertable, a.is_updatable) $$,
  'nor does the service role write more of alerts'
);
select set_eq(
  $$ select relname || ' ' || privilege from grants where rolname = 'authenticated' and privilege not in ('select', 'insert', 'update') $$,
  array['alert_channels delete', 'alert_rules delete'],
  'clients delete those, and truncate nothing'
);
select is_empty(
  $$ select * from grants where privilege in ('truncate', 'references', 'trigger') $$,
  'nor does the service role truncate, refer or add triggers'
);
select set_eq(
  $$ select relname || ' ' || privilege from grants
     where rolname = 'service_role'
       and relname in (
         'alert_notifications', 'alert_rule_types', 'alerts', 'audit_events', 'checkout_sessions', 'credit_ledger', 'invoices', 'payments', 'quota_decisions', 'role_permissions',
         'stripe_events', 'subscriptions', 'tenant_usage_realtime'
       ) $$,
  array[
    'alert_notifications select', 'alert_rule_types select', 'alerts select', 'audit_events select', 'checkout_sessions select', 'credit_ledger select', 'invoices select', 'payments select',
    'quota_decisions select', 'role_permissions select', 'stripe_events select', 'subscriptions select',
    'tenant_usage_realtime select'
  ],
  'the service role only reads what functions alone write'
);
select is_empty(
  $$ select c.relname from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
       and (has_sequence_privilege('anon', c.oid, 'usage, select, update')
         or has_sequence_privilege('authenticated', c.oid, 'usage, select, update')) $$,
  'clients use no sequence'
);
select is_empty(
  $$ select c.relname, a.privilege_type from pg_class c cross join lateral aclexplode(c.relacl) a
     where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and a.grantee = 0 $$,
  'nothing is granted to everyone'
);

select * from finish();
rollback;
