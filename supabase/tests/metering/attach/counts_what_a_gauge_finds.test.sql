begin;
select plan(18);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
create table public.flows (id int primary key, tenant_id uuid, size int, owner text, note text);
insert into public.flows select i, tests.tenant_id(case when i < 4 then 'acme' when i < 6 then 'rival' end), 1, 'u1' from generate_series(1, 7) i;
create function pg_temp.used() returns text language sql as $$
  select string_agg(format('%s%s %s', t.name, case when c.subject <> '' then ' ' || c.subject end, c.used), ', ' order by t.name, c.subject)
  from private.quota_counters c join public.tenants t on t.id = c.tenant_id where c.metric = 'workflows' and c.used <> 0
$$;

select meter.attach('flows', 'workflows', 'size');
select is(pg_temp.used(), 'acme 3, rival 2', 'what is there when it is attached is counted');
insert into flows select i, tests.tenant_id('acme'), 1, 'u1' from generate_series(8, 14) i;
select is(pg_temp.used(), 'acme 10, rival 2', 'what comes is taken');
select is(
  tests.error_of($$ insert into flows values (15, tests.tenant_id('acme'), 1) $$), 'PT429 quota_exceeded', 'to the limit'
);
select is(
  tests.error_of($$ update flows set size = 2 where id = 1 $$), 'PT429 quota_exceeded', 'what grows is taken, too'
);
update flows set note = 'n', size = 3 - size - 1;
select is(pg_temp.used(), 'acme 10, rival 2', 'what does not grow is not');
update flows set size = 0 where id = 1;
update flows set size = case id when 1 then 2 when 2 then 0 end where id in (1, 2);
select is(pg_temp.used(), 'acme 10, rival 2', 'a statement is counted as a whole');
update flows set tenant_id = tests.tenant_id('rival') where id = 1;
select is(pg_temp.used(), 'acme 8, rival 4', 'what moves is counted where it is');
update flows set tenant_id = null where id = 1;
select is(pg_temp.used(), 'acme 8, rival 2', 'or no longer');
update flows set tenant_id = tests.tenant_id('acme') where id = 7;
select is(pg_temp.used(), 'acme 9, rival 2', 'or from then on');
delete from flows where id in (3, 8, 9, 5);
select is(pg_temp.used(), 'acme 6, rival 1', 'what goes is given back');
select meter.attach('flows', 'workflows', 'size * 10');
select is(pg_temp.used(), 'acme 60, rival 10', 'attached again, it is counted anew, past the limit, too');
select meter.attach('flows', 'workflows', 'size', subject => 'owner');
select is(pg_temp.used(), 'acme 6, acme u1 6, rival 1, rival u1 1', 'for subjects as well');
update flows set owner = 'u2' where id = 10;
select is(pg_temp.used(), 'acme 6, acme u1 5, acme u2 1, rival 1, rival u1 1', 'who may change');
truncate flows;
select is(pg_temp.used(), null, 'what is truncated is given back at once');
select is(
  (select sum(allowed)::text from private.quota_counters where metric = 'workflows' and subject = ''), '5',
  'each statement that took was one grant of a tenant'
);

-- At the limit, what only changes hands needs no room.
insert into flows select i, tests.tenant_id('acme'), 1, 'u5' from generate_series(1, 10) i;
update flows set owner = 'u6' where id = 1;
select is(pg_temp.used(), 'acme 10, acme u5 9, acme u6 1', 'from a subject that is locked before');
update flows set owner = 'u4' where id = 2;
select is(pg_temp.used(), 'acme 10, acme u4 1, acme u5 8, acme u6 1', 'or after');
select is_empty('select from public.tenant_usage_realtime', 'a gauge has no events');

select * from finish();
rollback;
