begin;
select plan(3);

select tests.create_tenant('acme', 'enterprise');
create table public.notes (tenant_id uuid, body text);
create table public.logs (id int, part int, tenant_id uuid, body text);
alter table public.logs add primary key (part, id) include (body);
select is(tests.error_of($$ select meter.attach('notes', 'chat_messages') $$), null, 'a table without one is attached');
select meter.attach('logs', 'embeddings');
insert into notes values (tests.tenant_id('acme'), 'b');
insert into logs values (1, 2, tests.tenant_id('acme'), 'secret');
select is(
  (select metadata::text from public.tenant_usage_realtime where event_type = 'chat_message'),
  jsonb_build_object('table', 'public.notes', 'key', null)::text, 'its events name no row'
);
select is(
  (select metadata ->> 'key' from public.tenant_usage_realtime where event_type = 'embedding'), '2,1',
  'one of several columns is named in its order, without what it only includes'
);

select * from finish();
rollback;
