begin;
select plan(5);

create temp view private_relations as
select c.oid, c.relname, c.relkind, r.rolname
from pg_class c
cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)
where c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S');

select set_has(
  'select relname::text from private_relations',
  $$ values ('quota_counters'), ('quota_reservations'), ('usage_event_keys'), ('usage_batches_batch_id_seq') $$,
  'the lint sees the private tables'
);
select is_empty(
  $$ select relname, rolname from private_relations
     where relkind <> 'S'
       and (has_any_column_privilege(rolname, oid, 'select, insert, update, references')
         or has_table_privilege(rolname, oid, 'delete, truncate, trigger')) $$,
  'no API role holds a privilege on a private table or partition'
);
select is_empty(
  $$ select relname, rolname from private_relations
     where relkind = 'S' and has_sequence_privilege(rolname, oid, 'usage, select, update') $$,
  'nor on a private sequence'
);
select is_empty(
  $$ select i.inhrelid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where c.relkind = 'r' and (c.relnamespace <> 'private'::regnamespace or not c.relrowsecurity) $$,
  'every partition lives in private, under row level security'
);
select is_empty(
  $$ select r.rolname from (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)
     where has_schema_privilege(r.rolname, 'private', 'create') or has_schema_privilege(r.rolname, 'public', 'create') $$,
  'no API role creates objects'
);

select * from finish();
rollback;
