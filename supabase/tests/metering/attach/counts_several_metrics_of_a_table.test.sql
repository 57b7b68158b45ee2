begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
insert into public.metrics (id, unit, kind, default_period, description)
values ('paid_seats', 'seat', 'gauge', 'none', 'A metric whose name ends like another''s'),
  (repeat('m', 63), 'thing', 'gauge', 'none', 'A metric with the longest of names');
create table public.people (id int primary key, tenant_id uuid, size int);
select meter.attach('people', 'paid_seats', 'size');
select meter.attach('people', 'seats');
select meter.attach('people', 'chat_messages');
create temp view used as select metric, used from private.quota_counters;

insert into people values (1, tests.tenant_id('acme'), 5);
select set_eq('table used', $$ values ('paid_seats', 5::bigint), ('seats', 1), ('chat_messages', 1) $$, 'each by its own expression');
select set_custom_quota(tests.tenant_id('acme'), 'seats', 1);
select is(tests.error_of($$ insert into people values (2, tests.tenant_id('acme'), 5) $$), 'PT429 quota_exceeded', 'one that is full refuses the row');
select set_eq('table used', $$ values ('paid_seats', 5::bigint), ('seats', 1), ('chat_messages', 1) $$, 'and none counts it');
select meter.attach('people', 'seats', '0');
select set_eq('table used', $$ values ('paid_seats', 5::bigint), ('seats', 0), ('chat_messages', 1) $$, 'one is replaced');
insert into people values (2, tests.tenant_id('acme'), 5);
select set_eq('table used', $$ values ('paid_seats', 10::bigint), ('seats', 0), ('chat_messages', 2) $$, 'without the others');
select meter.detach('people', 'seats');
delete from people where id = 1;
select set_eq('table used', $$ values ('paid_seats', 5::bigint), ('seats', 0), ('chat_messages', 2) $$, 'or detached');

select meter.attach('people', repeat('m', 63));
select meter.detach('people', repeat('m', 63));
select is(tests.error_of($$ insert into people values (3, tests.tenant_id('acme'), 5) $$), null, 'the longest of names is no trouble');
select is(
  (select count(*) from pg_trigger where tgrelid = 'people'::regclass and tgargs = convert_to(repeat('m', 63), 'UTF8') || '\x00'),
  0::bigint, 'and leaves nothing behind'
);

select * from finish();
rollback;
