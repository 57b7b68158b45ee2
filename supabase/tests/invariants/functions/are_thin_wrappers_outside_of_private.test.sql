begin;
select plan(10);

create temp view wrappers as
select p.*
from pg_proc p
where p.pronamespace in ('public'::regnamespace, 'meter'::regnamespace)
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e');

select set_has(
  'select proname::text from wrappers',
  $$ values ('create_tenant'), ('consume_quota'), ('record_usage'), ('settle_reservation'), ('admits'), ('attach'), ('detach') $$,
  'the lint sees the functions'
);
select is_empty(
  $$ select proname from wrappers p where p.prolang <> (select oid from pg_language where lanname = 'sql') $$,
  'each is plain SQL'
);
select is_empty('select proname from wrappers where prosecdef', 'each runs as its caller');
select is_empty(
  $$ select proname from wrappers where not coalesce('search_path=""' = any (proconfig), false) $$,
  'each has an empty search path'
);
select is_empty('select proname from wrappers group by proname having count(*) > 1', 'none is overloaded');
select is_empty(
  $$ select proname, prosrc from wrappers
     where prosrc is distinct from format(
       ' select * from private.%s(%s) ', proname,
       (select string_agg('$' || i, ', ' order by i) from generate_series(1, pronargs) i)
     ) $$,
  'each passes its arguments to the private function of its name, in order'
);
select is_empty(
  $$ select w.proname from wrappers w
     where not exists (
       select from pg_proc p
       where p.pronamespace = 'private'::regnamespace and p.proname = w.proname
         and p.proargtypes = w.proargtypes and p.provolatile = w.provolatile and p.prorettype = w.prorettype
     ) $$,
  'which takes the same, returns the same and is as volatile'
);
select is_empty(
  $$ select proname, a from wrappers, unnest(proargnames) a where a !~ '^[a-z][a-z_]*$' or a ~ '^p_' $$,
  'each names its arguments as clients will'
);
select is_empty(
  $$ select proname from wrappers where pronargs > 0 and proargnames is null $$,
  'all of them'
);
select is_empty(
  $$ select proname from wrappers where obj_description(oid, 'pg_proc') is null $$,
  'each has a comment'
);

select * from finish();
rollback;
