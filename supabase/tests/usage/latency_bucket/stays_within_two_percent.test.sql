begin;
select plan(5);

create temp table latencies as
select (exp(random() * 27) / 1000)::numeric(12, 3)::float8 as latency from generate_series(1, 5000)
union all select * from unnest(array[0.001, 0.5, 0.999, 1, 1.001, 1.04, 40, 100, 1000, 60000, 999999999]::float8[])
union all select power(1.04::float8, i) from generate_series(-100, 500) i;

select is_empty(
  $$ select latency, private.latency_bucket(latency) from latencies
     where latency > 0 and abs(private.latency_bucket(latency) / latency - 1) > 0.02 $$,
  'a bucket''s middle is at most 2 % away'
);
select is_empty(
  $$ select latency from latencies
     where private.latency_bucket(private.latency_bucket(latency)) <> private.latency_bucket(latency) $$,
  'and its own middle'
);
select is_empty(
  $$ select latency from (
       select latency, private.latency_bucket(latency) as bucket,
         lag(private.latency_bucket(latency)) over (order by latency) as before
       from latencies
     ) as l where bucket < before $$,
  'buckets keep the order'
);
select cmp_ok(
  (select count(distinct private.latency_bucket(i)) from generate_series(1, 60000) i), '<=', 282::bigint,
  'and are few: a minute of milliseconds takes 282'
);
select is(private.latency_bucket(0), 0::float8, 'no time at all is a bucket of its own');

select * from finish();
rollback;
