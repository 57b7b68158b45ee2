begin;
select plan(7);

select tests.create_tenant('acme', 'trial');
create function pg_temp.record(variadic p_ids text[]) returns text language sql as $$
  select (r.accepted, r.duplicates)::text from record_usage(tests.tenant_id('acme'), (
    select jsonb_agg(jsonb_build_object(
      'event_id', id, 'event_type', 'search', 'event_timestamp', now() - (length(id) || ' hours')::interval
    ))
    from unnest(p_ids) id
  )) r
$$;

select is(pg_temp.record('a', 'bb', 'cccc', 'bb'), '(3,1)', 'a call');
select is(
  (select (count(*), min(tenant_id::text), min(first_ts), max(last_ts))::text from private.usage_batches),
  (select (1, tests.tenant_id('acme'), now() - interval '4 hours', now() - interval '1 hour')::text),
  'leaves one batch, from its first event to its last'
);
select is_empty(
  'select from public.tenant_usage_realtime where batch_id <> (select batch_id from private.usage_batches)',
  'with which its events are stamped'
);
select is(pg_temp.record('a', 'ddd'), '(1,1)', 'the next call');
select results_eq(
  $$ select b.first_ts, b.last_ts, string_agg(e.event_id, ' ' order by e.event_id)
     from private.usage_batches b join public.tenant_usage_realtime e on e.batch_id = b.batch_id
     group by b.batch_id order by b.batch_id $$,
  $$ values (now() - interval '4 hours', now() - interval '1 hour', 'a bb cccc'),
       (now() - interval '3 hours', now() - interval '3 hours', 'ddd') $$,
  'leaves another, of what it accepted'
);
select is(pg_temp.record('a'), '(0,1)', 'a call of nothing but duplicates');
select record_usage(tests.tenant_id('acme'), '[]');
select record_usage(tests.tenant_id('acme'), '[{}]');
select is((select count(*) from private.usage_batches), 2::bigint, 'leaves none, nor does one that accepts nothing');

select * from finish();
rollback;
