begin;
select plan(7);

select set_has(
  $$ select policyname::text from pg_policies where schemaname = 'public' $$,
  $$ values ('members_read_tenant'), ('admins_rename_tenant'), ('members_read_usage_events') $$,
  'the lint sees the policies'
);
select is_empty(
  $$ select tablename, policyname from pg_policies
     where schemaname in ('public', 'private') and cmd = 'ALL' $$,
  'each is for one command'
);
select is_empty(
  $$ select tablename, policyname from pg_policies
     where schemaname in ('public', 'private') and policyname !~ '^[a-z]+(_[a-z]+)+$' $$,
  'each is named for what it allows'
);
select is_empty(
  $$ select tablename, policyname, roles from pg_policies
     where schemaname in ('public', 'private') and not roles <@ array['anon', 'authenticated']::name[] $$,
  'each names its roles'
);
select is_empty(
  $$ select tablename, policyname from pg_policies
     where schemaname in ('public', 'private') and 'anon' = any (roles) and (cmd <> 'SELECT' or qual <> 'true') $$,
  'anon is let in to read the whole of a catalogue, or not at all'
);
-- A call that is not a subquery of its own runs for every row.
select is_empty(
  $$ select tablename, policyname from pg_policies
     where schemaname in ('public', 'private')
       and concat(qual, ' ', with_check) ~ '(?<!SELECT )(auth|private)\.[a-z_]+\(' $$,
  'each asks who is calling once per query'
);
select is_empty(
  $$ select tablename, policyname, cmd from pg_policies p
     where schemaname = 'public'
       and not exists (
         select from unnest(p.roles) r
         where case when p.cmd = 'DELETE' then has_table_privilege(r, format('%I.%I', p.schemaname, p.tablename), 'delete')
           else has_any_column_privilege(r, format('%I.%I', p.schemaname, p.tablename), p.cmd) end
       ) $$,
  'each has the grant without which it does nothing'
);

select * from finish();
rollback;
