begin;
select plan(12);

select tests.create_user('olga');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "search"}]');
prepare forge as insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, batch_id)
values (tests.tenant_id('acme'), now(), 'b', 'search', 1);
create function pg_temp.read_partition() returns text language sql as $$
  select tests.error_of('select from ' || (
    select inhrelid::regclass from pg_inherits where inhparent = 'public.tenant_usage_realtime'::regclass limit 1
  ))
$$;

select is(pg_temp.read_partition(), null, 'the database''s owner reads a partition');
select tests.act_as_user('olga');
select throws_ok('forge', '42501', null, 'an owner writes no event');
select throws_ok('update public.tenant_usage_realtime set tokens_consumed = 0', '42501', null, 'nor changes one');
select throws_ok('delete from public.tenant_usage_realtime', '42501', null, 'nor deletes one');
select is(pg_temp.read_partition(), '42501', 'nor goes past row level security to a partition');
select throws_ok('select from private.usage_event_keys', '42501', null, 'nor to the keys');
select throws_ok('select from private.usage_batches', '42501', null, 'nor to the batches');
select tests.act_as_service_role();
select throws_ok('forge', '42501', null, 'the service role writes no event');
select throws_ok('delete from public.tenant_usage_realtime', '42501', null, 'nor deletes one');
select is(pg_temp.read_partition(), '42501', 'nor reads a partition');
select tests.act_as_anon();
select throws_ok('forge', '42501', null, 'anon writes no event');
select is(pg_temp.read_partition(), '42501', 'nor reads a partition');

select * from finish();
rollback;
