begin;
select plan(9);

select tests.create_tenant('acme', 'free');
create table public.flows (id int primary key, tenant_id uuid);
create table public.other (id int primary key, tenant_id uuid);
create function pg_temp.touch() returns trigger language plpgsql as 'begin return null; end';
create trigger mine_workflows after insert on flows for each statement execute function pg_temp.touch();
select meter.attach(t, 'workflows') from unnest(array['flows', 'other']::regclass[]) t;
select meter.attach('flows', 'executions');
insert into flows select i, tests.tenant_id('acme') from generate_series(1, 4) i;
insert into other select i, tests.tenant_id('acme') from generate_series(1, 2) i;
create temp view used as select metric, used from tests.quota_counters;

select set_eq('table used', $$ values ('workflows', 6::bigint), ('executions', 4) $$, 'two tables are counted by one gauge');
select is(meter.detach('flows', 'workflows'), true, 'one is detached');
select set_eq('table used', $$ values ('workflows', 2::bigint), ('executions', 4) $$, 'and no longer counted');
insert into flows values (5, tests.tenant_id('acme'));
delete from flows where id = 1;
truncate flows;
select set_eq('table used', $$ values ('workflows', 2::bigint), ('executions', 5) $$, 'whatever happens to it, by this metric');
select is(meter.detach('flows', 'workflows'), false, 'a second time there is nothing to detach');
select is(meter.detach('flows', 'executions'), true, 'a counter is detached');
select set_eq('table used', $$ values ('workflows', 2::bigint), ('executions', 5) $$, 'and keeps what happened');
select set_eq(
  $$ select tgname::text from pg_trigger where tgrelid = 'flows'::regclass and not tgisinternal $$, array['mine_workflows'],
  'its triggers are gone, and no others'
);
select set_eq('select table_id::text, metric from tests.metered_tables', $$ values ('other', 'workflows') $$, 'and the other table is attached');

select * from finish();
rollback;
