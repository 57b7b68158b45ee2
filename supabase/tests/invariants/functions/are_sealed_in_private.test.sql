begin;
select plan(7);

create temp view functions as
select p.*, p.prorettype = 'trigger'::regtype as is_trigger
from pg_proc p
where p.pronamespace = 'private'::regnamespace
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e');

select set_has(
  'select proname::text from functions',
  $$ values ('has_permission'), ('take_quota'), ('record_events'), ('audit_change') $$,
  'the lint sees the functions'
);
select is_empty(
  $$ select proname from functions where not coalesce('search_path=""' = any (proconfig), false) $$,
  'each has an empty search path'
);
select is_empty('select proname from functions group by proname having count(*) > 1', 'none is overloaded');
select is_empty(
  $$ select proname, a from functions, unnest(proargnames) a where a !~ '^p_[a-z_]+$' $$,
  'each names its parameters so that none is mistaken for a column'
);
select is_empty(
  $$ select proname from functions where pronargs > 0 and (proargnames is null or is_trigger) $$,
  'all of them'
);
select is_empty(
  $$ select proname from functions where 't' = any (proargmodes) $$,
  'none returns a table, whose columns would be variables'
);
select is_empty(
  $$ select n.nspname, p.proname
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.prosecdef and n.nspname not in ('private', 'pg_catalog', 'information_schema', 'auth', 'cron', 'extensions')
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') $$,
  'no function outside of private runs as its owner'
);

select * from finish();
rollback;
