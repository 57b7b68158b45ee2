begin;
select plan(13);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'ann', 'editor');
create table public.notes (id int generated always as identity primary key, tenant_id uuid, body text);
grant select, insert on public.notes to authenticated, anon;
select meter.attach('notes', 'chat_messages');
select set_custom_quota(tests.tenant_id('acme'), 'chat_messages', 3);
create function pg_temp.write(p_count int, p_tenant text default 'acme') returns text language sql as $$
  select tests.error_of(format('insert into notes (tenant_id) select %L from generate_series(1, %s)', tests.tenant_id(p_tenant), p_count))
$$;

select is(pg_temp.write(5), 'PT429 quota_exceeded', 'five rows do not fit into three');
select is_empty('select from notes', 'no row is there');
select is_empty('select from public.tenant_usage_realtime', 'no event');
select is_empty('select from tests.quota_counters', 'and nothing is taken');
select is_empty('select 1 from public.quota_decisions union all select 1 from private.quota_denials', 'the receipt went with it');

select tests.act_as_user('ann');
select is(pg_temp.write(2), null, 'what fits is written');
select is(pg_temp.write(2), 'PT429 quota_exceeded', 'and the rest is not');
select is(pg_temp.write(1), null, 'one by one');
select is(pg_temp.write(1), 'PT429 quota_exceeded', 'to the last');
select tests.act_as_owner();
select is((select count(*) from notes), 3::bigint, 'as many rows');
select set_eq(
  $$ select event_type, subject, quantity, tokens_consumed, event_timestamp, metadata from public.tenant_usage_realtime $$,
  $$ select 'chat_message', tests.user_id('ann')::text, 1::numeric, 0::bigint, now(),
       jsonb_build_object('table', 'public.notes', 'key', id::text)
     from notes $$,
  'as events, by whoever wrote them, with their key'
);
select results_eq(
  'select tenant_id, subject, used, allowed from tests.quota_counters',
  $$ values (tests.tenant_id('acme'), '', 3::bigint, 2::bigint) $$, 'as are taken'
);
select is(pg_temp.write(4, 'rival'), null, 'another tenant has its own');

select * from finish();
rollback;
