begin;
select plan(7);

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
select set_eq(
  $$ select c.relname || '.' || a.attname
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
       and (has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
         or has_column_privilege('authenticated', c.oid, a.attnum, 'update')) $$,
  array['tenants.name'],
  'a signed-in user writes no column but a tenant''s name'
);
select is_empty(
  $$ select * from grants where rolname <> 'service_role' and privilege not in ('select', 'insert', 'update') $$,
  'clients delete and truncate nothing'
);
select is_empty(
  $$ select * from grants where privilege in ('truncate', 'references', 'trigger') $$,
  'nor does the service role truncate, refer or add triggers'
);
select set_eq(
  $$ select relname || ' ' || privilege from grants
     where rolname = 'service_role'
       and relname in (
         'audit_events', 'checkout_sessions', 'credit_ledger', 'invoices', 'payments', 'quota_decisions', 'role_permissions',
         'stripe_events', 'subscriptions', 'tenant_usage_realtime'
       ) $$,
  array[
    'audit_events select', 'checkout_sessions select', 'credit_ledger select', 'invoices select', 'payments select',
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
