begin;
select plan(3);

select tests.create_tenant('acme', 'trial');
create table public.notes (id int primary key, tenant_id uuid, author text);
select meter.attach('notes', 'chat_messages', subject => 'author');

select is(
  tests.error_of($$ insert into notes values (1, tests.tenant_id('acme'), repeat('a', 256)) $$), 'PT400 invalid_value',
  'an event that would be rejected refuses its row'
);
select is_empty('select 1 from notes union all select 1 from private.quota_counters', 'so that nothing is counted without one');
select is(tests.error_of($$ insert into notes values (1, tests.tenant_id('acme'), repeat('a', 255)) $$), null, 'unlike one that fits');

select * from finish();
rollback;
