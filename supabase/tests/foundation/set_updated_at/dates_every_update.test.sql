begin;
select plan(4);

insert into public.tenants (name, slug, updated_at) values ('Acme', 'acme', '2020-01-01');
select is((select updated_at from public.tenants), '2020-01-01'::timestamptz, 'a row that was not updated');
update public.tenants set name = 'Acme Inc';
select is((select updated_at from public.tenants), now(), 'says when it was');
update public.tenants set updated_at = '2020-01-01';
select is((select updated_at from public.tenants), now(), 'and cannot be made to say otherwise');
select is_empty(
  $$ select a.attrelid::regclass
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p')
       and a.attname = 'updated_at' and not a.attisdropped
       and not exists (
         select from pg_trigger t where t.tgrelid = a.attrelid and t.tgfoid = 'private.set_updated_at'::regproc
       ) $$,
  'on every table that has the column'
);

select * from finish();
rollback;
