begin;
select plan(5);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
create table public.flows (id int primary key, tenant_id uuid references public.tenants (id) on delete cascade, parent int);
create table public.links (id int primary key, tenant_id uuid references public.tenants (id) on delete set null);
select meter.attach('flows', 'workflows');
select meter.attach('links', 'connectors');
select meter.attach('flows', 'executions');
insert into flows select i, tests.tenant_id(t) from unnest(array['acme', 'rival']) with ordinality t (t, n), generate_series(n * 10, n * 10 + 2) i;
insert into links select i, tests.tenant_id('acme') from generate_series(1, 2) i;

select is(
  tests.error_of($$ delete from public.tenants where id = tests.tenant_id('acme') $$), null, 'with the rows that are metered'
);
select is((select count(*) from flows), 3::bigint, 'they go with it');
select is((select count(*) from links where tenant_id is null), 2::bigint, 'or stay without it');
select set_eq('select tenant_id from private.quota_counters', array[tests.tenant_id('rival')], 'and no counter is left');
select is(
  tests.error_of('insert into links values (3, null)'), null, 'rows of no tenant are not metered'
);

select * from finish();
rollback;
