begin;
select plan(14);

select tests.create_tenant('acme', 'enterprise');
create table public.files (id int generated always as identity primary key, tenant_id text, size numeric, tags text[]);
select meter.attach('files', 'tokens', 'case when size < 0 then size else ceil(size / 1000) + cardinality(tags) end', event_type => 'kb_ingest');
create function pg_temp.write(p_size text, p_tags text default '{}') returns text language sql as $$
  select tests.error_of(format('insert into files (tenant_id, size, tags) values (%L, %L, %L)', tests.tenant_id('acme'), p_size, p_tags))
$$;

select is(pg_temp.write('1500', '{a, b}'), null, 'any expression over the row');
select is((select used from private.quota_counters), 4::bigint, 'is what it comes to');
select results_eq(
  'select event_type, tokens_consumed, quantity from public.tenant_usage_realtime', $$ values ('kb_ingest', 4::bigint, 1::numeric) $$,
  'tokens are those of the event, of the type that was named'
);
select is(pg_temp.write('0'), null, 'nothing is an amount');
select is(pg_temp.write('-1'), 'PT400 invalid_amount', 'less than nothing is none');
select is(pg_temp.write(null), 'PT400 invalid_amount', 'nor is an unknown one');
select is(pg_temp.write('1e19'), 'PT400 invalid_amount', 'nor more than JSON holds exactly');
select is(pg_temp.write('1e30'), '22003', 'nor more than there is');
select is(pg_temp.write('NaN'), '0A000', 'nor what is no number');
select is(
  tests.error_of(format('insert into files (tenant_id, size, tags) values (%1$L, 1, %2$L), (%1$L, -1, %2$L)', tests.tenant_id('acme'), '{a, b}')),
  'PT400 invalid_amount', 'a row that is bad is not outweighed by one that is good'
);
select is(
  tests.error_of(format('insert into files (tenant_id, size, tags) values (%1$L, 9007199254740990000, %2$L), (%1$L, 2000, %2$L)', tests.tenant_id('acme'), '{}')),
  'PT400 invalid_amount', 'nor may a statement take more than one amount may be'
);
select is((select count(*) from files), 2::bigint, 'what was refused is not there');

select is(
  tests.error_of($$ select meter.attach('files', 'tokens', 'no_such_column') $$), '42703', 'an expression that is none is refused at once'
);
select is(pg_temp.write('1'), null, 'and leaves what was attached before');

select * from finish();
rollback;
