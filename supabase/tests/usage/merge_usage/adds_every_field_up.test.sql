begin;
select plan(6);

create function pg_temp.counts(p_unit int, p_quantities jsonb) returns private.usage_counts language sql as $$
  select jsonb_populate_record(null::private.usage_counts, jsonb_object_agg(attname, attnum * p_unit))
    from pg_attribute where attrelid = 'private.usage_counts'::regclass and attname not in ('latency', 'quantities')
$$;
create temp table parts as
select 1 as place, pg_temp.counts(1, null) as counts union all select 2, pg_temp.counts(10, null)
union all select 3, pg_temp.counts(100, null);
update parts set counts.latency = row(array[place], array[place])::private.latency_sketch;
update parts set counts.quantities = jsonb_build_object('tokens', place, 'metric ' || place, 2.5 * place);
create temp table merged as select to_jsonb(private.merge_usage(array_agg(counts))) as counts from parts;

select is(
  (select counts - array['latency', 'quantities', 'peak_qps'] from merged),
  (select to_jsonb(pg_temp.counts(111, null)) - array['latency', 'quantities', 'peak_qps']), 'numbers are added'
);
select is(
  (select (counts ->> 'peak_qps')::int from merged),
  (select attnum * 100 from pg_attribute where attrelid = 'private.usage_counts'::regclass and attname = 'peak_qps'),
  'the highest peak stays'
);
select is(
  (select counts -> 'quantities' from merged), '{"tokens": 6, "metric 1": 2.5, "metric 2": 5.0, "metric 3": 7.5}'::jsonb,
  'quantities are added metric by metric'
);
select is(
  (select counts -> 'latency' from merged), '{"latencies": [1, 2, 3], "counts": [1, 2, 3]}'::jsonb, 'latencies are joined'
);
select is(
  (select to_jsonb(private.merge_usage(array[a.counts, private.merge_usage(array[b.counts, null, c.counts])]))
   from parts a, parts b, parts c where a.place = 3 and b.place = 1 and c.place = 2),
  (select counts from merged), 'in any order and grouping, and nothing adds nothing'
);
select is(
  (select to_jsonb(private.merge_usage(array[pg_temp.counts(1, null), pg_temp.counts(2, null)])) -> 'latency'), 'null',
  'without latencies there is no sketch'
);

select * from finish();
rollback;
