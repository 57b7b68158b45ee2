begin;
select plan(5);

create temp view partitions as
select p.relname, (bounds.text)[1]::timestamptz as starts_at, (bounds.text)[2]::timestamptz as ends_at
from pg_inherits i
join pg_class p on p.oid = i.inhrelid
cross join lateral (
  select regexp_match(pg_get_expr(p.relpartbound, p.oid), $$FROM \('(.*)'\) TO \('(.*)'\)$$)
) as bounds (text)
where i.inhparent = 'public.tenant_usage_realtime'::regclass;

select private.ensure_usage_partitions();
select set_has(
  'select starts_at from partitions',
  $$ select date_trunc('day', now(), 'UTC') + i * interval '1 day' from generate_series(-1, 7) i $$,
  'yesterday, today and the week to come'
);
create temp table before as select * from partitions;
select lives_ok('select private.ensure_usage_partitions()', 'doing it again');
select set_eq('select * from partitions', 'select * from before', 'changes nothing');
select private.ensure_usage_partitions(40, 60);
select set_has(
  'select starts_at from partitions',
  $$ select date_trunc('day', now(), 'UTC') + i * interval '1 day' from generate_series(-40, 60) i $$,
  'or as many as are asked for'
);
select is_empty(
  $$ select relname, starts_at, ends_at from partitions
     where date_trunc('day', starts_at) <> starts_at or ends_at <> starts_at + interval '1 day'
       or relname <> to_char(starts_at, '"tenant_usage_realtime_y"YYYY"m"MM"d"DD') $$,
  'each is a day, and named for it'
);

select * from finish();
rollback;
