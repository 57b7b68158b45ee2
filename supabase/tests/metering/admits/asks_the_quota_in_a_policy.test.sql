begin;
select plan(20);

select tests.create_user('ann');
select tests.create_user('ben');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
create table public.notes (id int primary key, code text unique, part text, place int, tenant_id uuid, size int default 1);
create unique index on public.notes (part, place) include (size);
alter table public.notes enable row level security;
grant select, insert on public.notes to authenticated, anon;
select meter.attach('notes', 'chat_messages', 'size');
create policy readers on public.notes for select to authenticated using (true);
create policy writers on public.notes for insert to authenticated, anon with check (meter.admits(notes));
select set_custom_quota(tests.tenant_id('acme'), 'chat_messages', 2);
create function pg_temp.write(p_values text, p_more text default '') returns text language sql as $$
  select format('insert into notes (id, code, part, place, size, tenant_id) values (%s, %L) %s', p_values, tests.tenant_id('acme'), p_more)
$$;

select tests.act_as_user('ann');
select is(tests.error_of(pg_temp.write('1, ''a'', ''p'', 1, 1')), null, 'a row that fits is admitted');
select is(tests.error_of(pg_temp.write('2, ''b'', ''p'', 2, 2')), 'PT429 quota_exceeded', 'one that does not is refused');
create temp table detail as select tests.detail_of(pg_temp.write('2, ''b'', ''p'', 2, 2')) as d;
select is(
  (select d - '{windows, explanation, resets_at, decided_at}'::text[] from detail),
  jsonb_build_object(
    'allowed', false, 'reason', 'quota_exceeded', 'metric', 'chat_messages', 'period', 'day', 'subject', '', 'amount', 2,
    'limit_value', 2, 'used', 1, 'remaining', 1, 'plan_id', 'trial', 'is_override', true, 'tenant_id', tests.tenant_id('acme')
  ),
  'with its receipt'
);
select is((select jsonb_array_length(d -> 'windows') from detail), 1, 'the windows');
select matches(
  (select d ->> 'explanation' from detail), '^Denied: 2 of chat_messages was asked for when 1 of 2 was used in the day from', 'and a sentence'
);
select is(tests.error_of(pg_temp.write('2, ''b'', ''p'', 2, 1')), null, 'what is left is admitted');
select is(
  tests.error_of($$ insert into notes (id, tenant_id, size) select i, tests.tenant_id('acme'), 0 from generate_series(10, 12) i $$), null,
  'nothing always is'
);
select is(
  tests.error_of($$ insert into notes (id, tenant_id, size) values (13, tests.tenant_id('acme'), -1) $$), 'PT400 invalid_amount',
  'what is wrong with an amount is for the trigger to say'
);

-- Nothing is left.
select is(tests.error_of(pg_temp.write('1, ''x'', ''x'', 9, 1', 'on conflict do nothing')), null, 'a known primary key is no new row');
select is(tests.error_of(pg_temp.write('9, ''a'', ''x'', 9, 1', 'on conflict (code) do nothing')), null, 'nor is another unique one');
select is(tests.error_of(pg_temp.write('9, ''x'', ''p'', 2, 7', 'on conflict do nothing')), null, 'nor one of several columns');
select is(
  tests.error_of(pg_temp.write('9, ''x'', ''p'', 9, 1', 'on conflict do nothing')), 'PT429 quota_exceeded', 'but half of one'
);
select is(
  tests.error_of(pg_temp.write('9, null, null, null, 1', 'on conflict do nothing')), 'PT429 quota_exceeded', 'or none'
);
select is(tests.error_of(pg_temp.write('1, ''x'', ''x'', 9, 1')), '23505', 'which an insert that minds conflicts meets itself');
select tests.act_as_user('ben');
select is(tests.error_of(pg_temp.write('9, ''x'', ''p'', 9, 1')), '42501', 'who may not read the usage is told nothing');
select is(tests.detail_of(pg_temp.write('9, ''x'', ''p'', 9, 1')), null, 'at all');
select tests.act_as_user('ben', '{"role": "service_role"}');
select is(tests.error_of(pg_temp.write('9, ''x'', ''p'', 9, 1')), '42501', 'with a forged claim, too');
select tests.act_as_anon();
select is(tests.error_of(pg_temp.write('9, ''x'', ''p'', 9, 1')), '42501', 'so is anon');
select tests.act_as_owner();
select is((select used from tests.quota_counters), 2::bigint, 'only what was admitted is taken');
select is_empty('select 1 from public.quota_decisions union all select 1 from private.quota_denials', 'and asking leaves nothing');

select * from finish();
rollback;
