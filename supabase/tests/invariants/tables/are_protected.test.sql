begin;
select plan(6);

-- A view that exists in `public`, such as entitlements, is held below; partitions live in `private`.
create temp view public_tables as
select c.oid, c.relname, c.relrowsecurity
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e');

select set_has(
  'select relname::text from public_tables',
  $$ values ('tenants'), ('plan_limits'), ('tenant_usage_realtime'), ('audit_events') $$,
  'the lint sees the tables, the partitioned ones too'
);
select is_empty('select relname from public_tables where not relrowsecurity', 'every table has row level security');
select is_empty(
  $$ select relname from public_tables where obj_description(oid, 'pg_class') is null $$,
  'every table has a comment'
);
select is_empty(
  $$ select relname from public_tables t
     where not exists (select from pg_policy p where p.polrelid = t.oid)
       and (has_any_column_privilege('anon', oid, 'select, insert, update')
         or has_any_column_privilege('authenticated', oid, 'select, insert, update')
         or has_table_privilege('anon', oid, 'delete') or has_table_privilege('authenticated', oid, 'delete')) $$,
  'every table that a client may touch has a policy'
);
select is_empty(
  $$ select relname from pg_class
     where relnamespace = 'public'::regnamespace and relkind = 'v'
       and coalesce('security_invoker=true' = any (reloptions), false) is false $$,
  'every view reads as its caller'
);
select is_empty(
  $$ select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('m', 'f') $$,
  'nothing in public is of a kind that row level security cannot protect'
);

select * from finish();
rollback;
