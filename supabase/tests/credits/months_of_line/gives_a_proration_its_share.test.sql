begin;
select plan(8);

create function pg_temp.shares(
  p_start timestamptz, p_end timestamptz, p_interval public.price_interval, p_credits numeric, p_is_proration boolean default true
) returns text language sql as $$
  select string_agg(round(credits, 4)::text, ' ' order by month_end)
  from private.months_of_line(p_start, p_end, p_interval, p_credits, p_is_proration)
$$;

select is(pg_temp.shares('2030-04-16Z', '2030-05-01Z', 'month', 300), '150.0000', 'half of a month has half of its credits');
select is(pg_temp.shares('2030-04-16Z', '2030-05-01Z', 'month', -300), '-150.0000', 'and so has what is taken back of it');
select is(
  pg_temp.shares('2030-04-16Z', '2030-05-01Z', 'month', 300, false), '300.0000', 'but a regular line has all, however long it is'
);
select is(pg_temp.shares('2030-04-16Z', '2030-05-01Z', 'month', 300, null), '300.0000', 'as one that says nothing of it');
select is(
  pg_temp.shares('2030-04-30 23:59:59Z', '2030-05-01Z', 'month', 2592000), '1.0000', 'a second of a month of 30 days'
);
select is(
  pg_temp.shares('2030-04-01Z', '2030-05-01Z', 'month', 300), '300.0000', 'a proration of all of a month is all of it'
);
select is(
  pg_temp.shares('2030-10-17Z', '2031-01-01Z', 'year', 310), '150.0000 310.0000 310.0000',
  'of a year it is a part of the month under way, and all of those that follow'
);
select is(
  pg_temp.shares('2030-11-01Z', '2031-01-01Z', 'year', -310), '-310.0000 -310.0000', 'from the end of a month on, it is whole months'
);

select * from finish();
rollback;
