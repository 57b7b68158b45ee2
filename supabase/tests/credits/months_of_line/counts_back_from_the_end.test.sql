begin;
select plan(10);

create function pg_temp.months(
  p_start timestamptz, p_end timestamptz, p_interval public.price_interval, p_credits numeric default 300, p_is_proration boolean default false
) returns setof private.credit_share language sql as $$
  select * from private.months_of_line(p_start, p_end, p_interval, p_credits, p_is_proration) order by month_end
$$;

select results_eq(
  $$ select * from pg_temp.months('2030-03-10 12:00Z', '2030-04-10 12:00Z', 'month') $$,
  $$ values ('2030-03-10 12:00Z'::timestamptz, '2030-04-10 12:00Z'::timestamptz, 300::numeric) $$,
  'a line of a monthly price is one month'
);
select results_eq(
  $$ select * from pg_temp.months('2030-02-28 12:00Z', '2030-03-31 12:00Z', 'month') $$,
  $$ values ('2030-02-28 12:00Z'::timestamptz, '2030-03-31 12:00Z'::timestamptz, 300::numeric) $$,
  'which begins with the last day of a shorter month, where it ends on the 31st'
);
select results_eq(
  $$ select * from pg_temp.months('2030-01-31 12:00Z', '2030-02-28 12:00Z', 'month') $$,
  $$ values ('2030-01-28 12:00Z'::timestamptz, '2030-02-28 12:00Z'::timestamptz, 300::numeric) $$,
  'and is all of it where it begins on a 31st that the next month lacks'
);
select results_eq(
  $$ select extract(month from month_end at time zone 'UTC')::int, month_end - '2030-03-10 12:00Z', credits
     from pg_temp.months('2030-03-10 12:00Z', '2031-03-10 12:00Z', 'year') limit 2 $$,
  $$ values (4, interval '31 days', 300::numeric), (5, interval '61 days', 300) $$,
  'a line of a yearly price is months of full credits'
);
select results_eq(
  $$ select count(*), min(month_start), max(month_end), count(*) filter (where next is distinct from month_start)
     from (
       select month_start, month_end, lag(month_end, 1, '2030-03-10 12:00Z') over (order by month_end) as next
       from pg_temp.months('2030-03-10 12:00Z', '2031-03-10 12:00Z', 'year')
     ) m $$,
  $$ values (12::bigint, '2030-03-10 12:00Z'::timestamptz, '2031-03-10 12:00Z'::timestamptz, 0::bigint) $$,
  'twelve, one after the other'
);
select results_eq(
  $$ select string_agg(to_char(month_end at time zone 'UTC', 'MM-DD'), ' ' order by month_end), count(*)
     from pg_temp.months('2027-12-31Z', '2028-12-31Z', 'year') $$,
  $$ values ('01-31 02-29 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31', 12::bigint) $$,
  'from month end to month end, also of February in a leap year'
);
select results_eq(
  $$ select min(month_start), max(month_end), count(*) from pg_temp.months('2028-02-29Z', '2029-02-28Z', 'year') $$,
  $$ values ('2028-02-28Z'::timestamptz, '2029-02-28Z'::timestamptz, 12::bigint) $$,
  'a year from 29 February is twelve months, not thirteen'
);
select is(
  (select array[
    (select count(*) from pg_temp.months('2030-03-09Z', '2031-03-10Z', 'year')), (select count(*) from pg_temp.months('2030-03-09Z', '2030-04-10Z', 'month'))
  ]), array[12, 1]::bigint[], 'and what is a day longer has no month more'
);
select is_empty(
  $$ select * from pg_temp.months('2030-04-10Z', '2030-04-10Z', 'month') $$, 'a line of no time is none'
);
select is(
  (select sum(credits) from pg_temp.months('2030-03-10Z', '2031-03-10Z', 'year', -350)), -4200::numeric, 'what is taken back is negative'
);

select * from finish();
rollback;
