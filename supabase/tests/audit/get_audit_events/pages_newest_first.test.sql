begin;
select plan(13);

-- 120 events of 12 moments, ten of each.
insert into public.audit_events (tenant_id, event_type, action, actor_type, occurred_at)
select tests.tenant_id('paged'), case i % 3 when 0 then 'a' else 'b' end, 'x', 'system',
  date_trunc('month', now(), 'UTC') + (i % 12) * interval '1 hour'
from generate_series(1, 120) i;
create function pg_temp.pages(p_rows int, p_action text default null) returns setof uuid language plpgsql as $$
declare
  v_ts timestamptz;
  v_id uuid;
  v_page public.audit_entry[];
begin
  for v_number in 1..200 loop
    v_page := array(
      select e from get_audit_events(tests.tenant_id('paged'), p_action, max_rows => p_rows, before_ts => v_ts, before_id => v_id) e
    );
    exit when v_page = '{}';
    return query select event_id from unnest(v_page);
    v_ts := v_page[cardinality(v_page)].occurred_at;
    v_id := v_page[cardinality(v_page)].event_id;
  end loop;
end
$$;

select results_eq(
  $$ select event_id from get_audit_events(tests.tenant_id('paged'), max_rows => 1000) $$,
  $$ select event_id from public.audit_events where tenant_id = tests.tenant_id('paged') order by occurred_at desc, event_id desc $$,
  'the newest first'
);
select is_empty(
  $$ select size from unnest(array[1, 3, 7, 10, 11, 100, 1000]) size
     where array(select * from pg_temp.pages(size))
       <> array(select event_id from get_audit_events(tests.tenant_id('paged'), max_rows => 1000)) $$,
  'pages of any size have each once, also those of one moment'
);
select results_eq(
  $$ select * from pg_temp.pages(4, 'a') $$, $$ select event_id from get_audit_events(tests.tenant_id('paged'), 'a') $$, 'so have those of a filter'
);
select is(
  (select count(*) from get_audit_events(
     tests.tenant_id('paged'), before_ts => date_trunc('month', now(), 'UTC') + interval '3 hours', max_rows => 1000)),
  30::bigint, 'before a moment, without an event to go on after'
);
select results_eq(
  $$ select event_id from get_audit_events(tests.tenant_id('paged'), max_rows => 5, skip_rows => 17) $$,
  $$ select event_id from get_audit_events(tests.tenant_id('paged'), max_rows => 22) offset 17 $$, 'rows can be skipped'
);
select is((select count(*) from get_audit_events(tests.tenant_id('paged'), skip_rows => 119)), 1::bigint, 'up to the last');
select is((select count(*) from get_audit_events(tests.tenant_id('paged'), skip_rows => 120)), 0::bigint, 'and all');
select is((select count(*) from get_audit_events(tests.tenant_id('paged'))), 100::bigint, '100 when nothing is said');
select is_empty(
  $$ select n from unnest(array[0, -1, 1001, null]) n
     where tests.error_of(format('select get_audit_events(tests.tenant_id(''paged''), max_rows => %L)', n))
       is distinct from 'PT400 invalid_max_rows' $$,
  'from 1 to 1000 can be asked for'
);
select is_empty(
  $$ select n from unnest(array[-1, null]) n
     where tests.error_of(format('select get_audit_events(tests.tenant_id(''paged''), skip_rows => %L)', n))
       is distinct from 'PT400 invalid_skip_rows' $$,
  'less than none cannot be skipped'
);
select is((select count(*) from get_audit_events(tests.tenant_id('paged'), from_ts => 'infinity')), 0::bigint, 'an empty range has none');
select is(
  (select count(*) from get_audit_events(tests.tenant_id('paged'), before_id => tests.user_id('x'), max_rows => 1000)), 120::bigint,
  'an id without its moment is nowhere'
);
set local timezone = 'America/New_York';
select is((select count(*) from pg_temp.pages(7)), 120::bigint, 'the session''s time zone changes nothing');

select * from finish();
rollback;
