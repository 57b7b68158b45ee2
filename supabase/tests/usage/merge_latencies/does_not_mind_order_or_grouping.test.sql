begin;
select plan(12);

create function pg_temp.sketch(variadic p_latencies float8[]) returns private.latency_sketch language sql as $$
  select private.merge_latencies(array(
    select row(array[l], array[1])::private.latency_sketch from unnest(p_latencies) l
  ))
$$;
create function pg_temp.sketches(p_count int, p_groups int) returns private.latency_sketch[] language sql as $$
  select array_agg(s.sketch) from (
    select pg_temp.sketch(variadic array_agg(ln(i + 1)::numeric(12, 3)::float8 * 50)) from generate_series(1, p_count) i
    group by i * 7 % p_groups
  ) as s (sketch)
$$;
create function pg_temp.total(p_sketch private.latency_sketch) returns bigint language sql as $$
  select sum(n)::bigint from unnest(p_sketch.counts) n
$$;

select is(pg_temp.sketch(3, 1, 2, 1), row(array[1, 2, 3], array[2, 1, 1])::private.latency_sketch, 'ascending, with how often');
select is(pg_temp.sketch(0, 0, 5), row(array[0, 5], array[2, 1])::private.latency_sketch, 'zeros are counted');
select is(
  private.merge_latencies(array[null, pg_temp.sketch(2), null]), pg_temp.sketch(2), 'what has no latencies adds none'
);
select is(
  private.latency_percentiles(private.merge_latencies(array[null, null]::private.latency_sketch[])),
  array[null, null, null]::numeric[], 'nor do all of them without'
);
select is_empty(
  $$ select place from unnest(array['[]', '[null]', '[null, null]', '[{"latencies": [], "counts": []}]', '[{}, null]']::jsonb[])
       with ordinality s (sketches, place)
     where to_jsonb(private.merge_latencies(array(
       select case when j <> 'null' then jsonb_populate_record(null::private.latency_sketch, j) end
       from jsonb_array_elements(sketches) j
     ))) <> 'null' $$,
  'which make no sketch at all'
);
select is(to_jsonb(private.merge_latencies(null)), null, 'nor does nothing');
select is(
  private.merge_latencies(array[
    row('{}', '{}')::private.latency_sketch, pg_temp.sketch(2), row(null, null)::private.latency_sketch
  ]),
  pg_temp.sketch(2),
  'an empty one adds none'
);
select is(
  (select (private.merge_latencies(array[row(array_agg(i), array_agg(1))::private.latency_sketch])).latencies
   from generate_series(1, 200) i),
  (select array_agg(i::float8) from generate_series(1, 200) i), '200 are kept as they are'
);
select is_empty(
  $$ select l from unnest((
       select private.merge_latencies(array[row(array_agg(i), array_agg(1))::private.latency_sketch])
       from generate_series(1, 201) i
     ).latencies) l where l <> private.latency_bucket(l) $$,
  '201 are in buckets'
);
select is(
  pg_temp.total(private.merge_latencies(pg_temp.sketches(5000, 10))), 5000::bigint, 'none is lost'
);
select is_empty(
  $$ select count, a, b from unnest(array[150, 200, 201, 5000]) count, unnest(array[1, 3, 40]) a, unnest(array[2, 7]) b
     where private.merge_latencies(pg_temp.sketches(count, a)) <> private.merge_latencies(pg_temp.sketches(count, b)) $$,
  'any groups make the same sketch'
);
select is(
  (select private.merge_latencies(array[private.merge_latencies(s[4:7]), private.merge_latencies(s[1:3])])
   from pg_temp.sketches(300, 7) s),
  (select private.merge_latencies(s) from pg_temp.sketches(300, 7) s), 'in any order'
);

select * from finish();
rollback;
