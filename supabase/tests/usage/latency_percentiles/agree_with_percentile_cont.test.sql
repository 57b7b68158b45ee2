begin;
select plan(6);

select setseed(0.4);
create temp table latencies as
select size, i, exp(4 + 1.2 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::numeric(12, 3) as latency
from unnest(array[1, 2, 3, 10, 19, 20, 21, 100, 101, 199, 200, 201, 1000, 5000]) size, generate_series(1, size) i;
create temp table percentiles as
select size,
  (select array_agg(round(p::numeric, 3))
   from unnest(percentile_cont(array[0.5, 0.95, 0.99]) within group (order by latency::float8)) p) as exact,
  private.latency_percentiles(private.merge_latencies(array_agg(row(array[latency], array[1])::private.latency_sketch))) as found
from latencies group by size;

select is((select count(*) from percentiles), 14::bigint, 'lognormal latencies, from 1 to 5000 of them');
select results_eq(
  'select size, found from percentiles where size <= 200 order by size',
  'select size, exact from percentiles where size <= 200 order by size',
  'are exact up to 200'
);
select is_empty(
  $$ select size, exact, found from percentiles, unnest(exact, found) p (exact_one, found_one)
     where size > 200 and (found_one is null or abs(found_one / exact_one - 1) > 0.0201) $$,
  'and within 2 % beyond'
);
select is(
  private.latency_percentiles(row(array[0, 10], array[199, 1])::private.latency_sketch), array[0, 0, 0]::numeric[],
  'zeros are values'
);
select is(
  private.latency_percentiles(row(array[0, 100], array[1, 1])::private.latency_sketch), array[50, 95, 99]::numeric[],
  'between two values lie others'
);
select is(private.latency_percentiles(null), array[null, null, null]::numeric[], 'of nothing there are none');

select * from finish();
rollback;
