begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create table public.notes (id int primary key, tenant_id uuid, author text);
create function pg_temp.fault(p_tenant text default 'acme', p_author text default 'u1') returns text language sql as $$
  select tests.error_of(format('select meter.admits(row(1, %L, %L)::notes)', tests.tenant_id(p_tenant), p_author))
$$;

select is(pg_temp.fault(), 'PT400 not_metered', 'a table without any is a mistake');
select is(tests.error_of('select meter.admits(1)'), 'PT400 not_metered', 'so is what is no row');
select meter.attach('notes', 'chat_messages', subject => 'author');
select meter.attach('notes', 'embeddings');
select is(pg_temp.fault(), null, 'what all have room for is admitted');
select set_custom_quota(tests.tenant_id('acme'), 'embeddings', 0);
select is(pg_temp.fault(), 'PT429 not_included', 'what one has none for is not');
select is(pg_temp.fault('rival'), null, 'of this tenant');
select is(tests.error_of($$ select meter.admits(row(1, null, null)::notes) $$), null, 'a row of no tenant is not metered');
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('rival'), 'chat_messages', 'day', 'subject', 0);
select is(pg_temp.fault('rival'), 'PT429 not_included', 'for this subject');
select is(
  tests.error_of($$ select meter.admits(row(1, gen_random_uuid(), null)::notes) $$), 'PT404 tenant_not_found', 'an unknown tenant is none'
);

select * from finish();
rollback;
