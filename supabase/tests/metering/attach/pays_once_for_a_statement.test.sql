begin;
select plan(9);

select tests.create_tenant('acme', 'enterprise');
select tests.create_tenant('rival', 'enterprise');
create table public.notes (id int generated always as identity primary key, tenant_id uuid, author text, size int);
select meter.attach('notes', 'tokens', 'size', subject => 'author');
create temp view updates as select pg_stat_get_xact_tuples_updated('private.quota_counters'::regclass) as n;
create temp view used as select t.name, c.subject, c.used from private.quota_counters c join public.tenants t on t.id = c.tenant_id;

insert into notes (tenant_id, author, size) select tests.tenant_id(t), 'u', 1 from unnest(array['acme', 'rival']) t;
create temp table before as table updates;
insert into notes (tenant_id, author, size) select tests.tenant_id('acme'), 'u', i from generate_series(1, 1000) i;
select is((select u.n - b.n from updates u, before b), 1::bigint, 'a thousand rows are one update of the counter');
insert into notes (tenant_id, author, size) select tests.tenant_id(t), 'u', 2 from unnest(array['acme', 'rival']) t, generate_series(1, 10);
select is((select u.n - b.n from updates u, before b), 3::bigint, 'one for each tenant');
select set_eq('table used', $$ values ('acme', '', 500521::bigint), ('rival', '', 21) $$, 'of what the rows come to');

-- Each subject has an update of its own limit.
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value) values (tests.tenant_id('acme'), 'tokens', 'day', 'subject', 50);
insert into notes (tenant_id, author, size) select tests.tenant_id('acme'), u, 10 from unnest(array['u2', 'u1']) u, generate_series(1, 2);
select set_eq(
  'table used',
  $$ values ('acme', '', 500561::bigint), ('acme', 'u1', 20), ('acme', 'u2', 20), ('rival', '', 21) $$, 'and each subject its own'
);
select is(
  tests.error_of($$ insert into notes (tenant_id, author, size) values
    (tests.tenant_id('acme'), 'u1', 5), (tests.tenant_id('rival'), 'u1', 5), (tests.tenant_id('acme'), 'u2', 31) $$),
  'PT429 quota_exceeded', 'one that is full refuses the statement'
);
select set_eq(
  'table used',
  $$ values ('acme', '', 500561::bigint), ('acme', 'u1', 20), ('acme', 'u2', 20), ('rival', '', 21) $$, 'for all of them'
);

insert into notes (tenant_id, author, size) select tests.tenant_id('acme'), 'u1', 1 where false;
insert into notes (tenant_id, author, size) values (null, 'u1', 1000000), (tests.tenant_id('acme'), 'u1', 0);
select set_eq(
  'table used',
  $$ values ('acme', '', 500561::bigint), ('acme', 'u1', 20), ('acme', 'u2', 20), ('rival', '', 21) $$,
  'no rows, rows of no tenant, and rows of nothing take nothing'
);
update notes set size = size + 1;
delete from notes where size > 100;
select is((select used from used where name = 'rival'), 21::bigint, 'what happened stays counted');

-- More rows than a batch of events may have.
select meter.attach('notes', 'embeddings', subject => '''''');
insert into notes (tenant_id, size) select tests.tenant_id('acme'), 0 from generate_series(1, 10001);
select is((select count(*) from public.tenant_usage_realtime where event_type = 'embedding'), 10001::bigint, 'each row has its event, however many');

select * from finish();
rollback;
