begin;
select plan(13);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select record_usage(tests.tenant_id(name), jsonb_agg(jsonb_build_object(
  'event_id', i::text, 'event_type', (array['search', 'embedding'])[i % 2 + 1],
  'event_timestamp', now() - i / 7 * interval '8 hours'
)))
from unnest(array['acme', 'rival']) name, generate_series(0, 99) i group by name;
-- Reads to the end, a page after the other.
create function pg_temp.pages(p_size int, p_type text default null) returns table (event_id text) language plpgsql as $$
declare
  v_page public.tenant_usage_realtime[];
  v_ts timestamptz;
  v_id text;
begin
  for v_pages in 1..200 loop
    v_page := array(select e from get_tenant_events(
      tests.tenant_id('acme'), null, null, p_type, p_size, v_ts, v_id
    ) e);
    exit when cardinality(v_page) = 0;
    return query select e.event_id from unnest(v_page) e;
    v_ts := v_page[cardinality(v_page)].event_timestamp;
    v_id := v_page[cardinality(v_page)].event_id;
  end loop;
end
$$;

select results_eq(
  $$ select event_id, tenant_id from get_tenant_events(tests.tenant_id('acme')) $$,
  $$ select event_id, tenant_id from public.tenant_usage_realtime where tenant_id = tests.tenant_id('acme')
     order by event_timestamp desc, event_id desc $$,
  'the newest first, of that tenant alone'
);
select is_empty(
  $$ select size from unnest(array[1, 3, 7, 50, 100, 1000]) size
     where array(select event_id from pg_temp.pages(size))
       <> array(select event_id from get_tenant_events(tests.tenant_id('acme'))) $$,
  'pages of any size have each once, also those of one moment'
);
select results_eq(
  $$ select event_id from pg_temp.pages(4, 'search') $$,
  $$ select event_id from get_tenant_events(tests.tenant_id('acme')) where event_type = 'search' $$, 'so have those of one type'
);
select is_empty($$ select get_tenant_events(tests.tenant_id('acme'), event_type => 'nonsense') $$, 'an unknown type has none');
select is((select count(*) from get_tenant_events(tests.tenant_id('acme'), max_rows => 5)), 5::bigint, 'no more than asked for');
select is(
  (select count(*) from get_tenant_events(tests.tenant_id('acme'), from_ts => now() - interval '16 hours')), 21::bigint,
  'from a moment on'
);
select is(
  (select count(*) from get_tenant_events(tests.tenant_id('acme'), to_ts => now() - interval '16 hours')), 79::bigint,
  'until before it'
);
select is(
  (select count(*) from get_tenant_events(tests.tenant_id('acme'), before_ts => now() - interval '16 hours')), 79::bigint,
  'or before it, without an event to go on after'
);
select is(
  (select count(*)
   from get_tenant_events(tests.tenant_id('acme'), now() - interval '24 hours', now() - interval '8 hours', 'embedding', 3,
     now() - interval '16 hours', '18')),
  3::bigint, 'all at once'
);
select record_usage(tests.tenant_id('acme'), jsonb_agg(jsonb_build_object('event_id', 'more ' || i, 'event_type', 'search')))
from generate_series(1, 50) i;
select is((select count(*) from get_tenant_events(tests.tenant_id('acme'))), 100::bigint, '100 when nothing is said');
select is_empty(
  $$ select n from unnest(array[0, -1, 1001, null]) n
     where tests.error_of(format('select get_tenant_events(tests.tenant_id(''acme''), max_rows => %L)', n))
       is distinct from 'PT400 invalid_max_rows' $$,
  'from 1 to 1000 can be asked for'
);
select aggregate_usage_metrics();
select is(
  (select count(*) from get_tenant_events(tests.tenant_id('acme'), max_rows => 1000)), 150::bigint,
  'events stay when they are counted'
);
select is(
  (select count(*) from get_tenant_events(tests.tenant_id('acme'), from_ts => now(), to_ts => now())), 0::bigint,
  'an empty range has none'
);

select * from finish();
rollback;
