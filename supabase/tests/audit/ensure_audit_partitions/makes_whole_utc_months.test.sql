begin;
select plan(6);

-- A client may set its session's time zone (`Prefer: timezone=…`), and any audited change may make the partition.
set local timezone = 'America/New_York';
select private.ensure_audit_partitions(14);
set local timezone = 'UTC';

create temp view partitions as
select p.relname, (bounds.text)[1]::timestamptz as starts_at, (bounds.text)[2]::timestamptz as ends_at
from pg_inherits i
join pg_class p on p.oid = i.inhrelid
cross join lateral (
  select regexp_match(pg_get_expr(p.relpartbound, p.oid), $$FROM \('(.*)'\) TO \('(.*)'\)$$)
) as bounds (text)
where i.inhparent = 'public.audit_events'::regclass;

select is((select count(*) from partitions), 15::bigint, 'this month and those after it');
select is_empty(
  $$ select relname, starts_at, ends_at from partitions
     where date_trunc('month', starts_at) <> starts_at or ends_at <> starts_at + interval '1 month' $$,
  'each is one month of UTC, whatever the session''s time zone'
);
select is_empty(
  $$ select relname, starts_at from partitions where relname <> to_char(starts_at, '"audit_events_y"YYYY"m"MM') $$,
  'and named for it'
);
select is_empty(
  $$ select relname from partitions a where not exists (select from partitions b where b.starts_at = a.ends_at)
     and a.ends_at <= now() + interval '14 months' - interval '1 month' $$,
  'without a gap'
);
select lives_ok('select private.ensure_audit_partitions(14)', 'doing it again');
select is((select count(*) from partitions), 15::bigint, 'changes nothing');

select * from finish();
rollback;
