begin;
select plan(3);

create temp view foreign_keys as
select c.conname, c.conrelid, c.conkey
from pg_constraint c
where c.contype = 'f' and c.conparentid = 0
  and c.connamespace in ('public'::regnamespace, 'private'::regnamespace);

select set_has(
  'select conname::text from foreign_keys',
  $$ values ('memberships_user_id_fkey'), ('tenants_plan_id_fkey'), ('usage_batches_tenant_id_fkey') $$,
  'the lint sees the foreign keys of both schemas'
);
-- Without one, deleting the referenced row scans the whole table.
select is_empty(
  $$ select conrelid::regclass, conname from foreign_keys f
     where not exists (
       select from pg_index i
       where i.indrelid = f.conrelid and i.indisvalid and i.indpred is null
         and (
           select array_agg(k.attnum order by k.attnum) from unnest(i.indkey::int2[]) with ordinality k (attnum, place)
           where k.place <= cardinality(f.conkey)
         ) = (select array_agg(k order by k) from unnest(f.conkey) k)
     ) $$,
  'every foreign key leads an index'
);
select is_empty(
  $$ select c.conrelid::regclass, c.conname from pg_constraint c
     where c.contype = 'c' and c.connamespace in ('public'::regnamespace, 'private'::regnamespace)
       and c.conname::text ~ '_check\d*$' $$,
  'every check is named'
);

select * from finish();
rollback;
