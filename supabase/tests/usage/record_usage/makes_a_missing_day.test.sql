begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create function pg_temp.partition_of(p_days int) returns regclass language sql as $$
  select to_regclass(to_char((now() - p_days * interval '1 day') at time zone 'UTC', '"private.tenant_usage_realtime_y"YYYY"m"MM"d"DD'))
$$;
select is(pg_temp.partition_of(20), null, 'a day of which nothing was heard has no partition');
select is(
  (select accepted from record_usage(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object('event_id', 'a', 'event_type', 'search', 'event_timestamp', now() - interval '20 days'),
    jsonb_build_object('event_id', 'b', 'event_type', 'search', 'event_timestamp', now() - interval '21 days'),
    jsonb_build_object('event_id', 'c', 'event_type', 'search', 'event_timestamp', now())
  ))),
  3, 'an event of that day is accepted'
);
select results_eq(
  'select event_id, tableoid::regclass from public.tenant_usage_realtime order by event_id',
  $$ values ('a', pg_temp.partition_of(20)), ('b', pg_temp.partition_of(21)), ('c', pg_temp.partition_of(0)) $$,
  'into the partition of its day'
);
select is_empty(
  $$ select i.inhrelid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'public.tenant_usage_realtime'::regclass
       and (not c.relrowsecurity or c.relacl is not null or c.relnamespace <> 'private'::regnamespace) $$,
  'which is as closed as the others'
);
select is(
  (select rejected -> 0 ->> 'reason' from record_usage(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object('event_id', 'd', 'event_type', 'search', 'event_timestamp', now() - interval '40 days')
  ))),
  'too_old', 'a rejected event'
);
select is(pg_temp.partition_of(40), null, 'makes none');

select * from finish();
rollback;
