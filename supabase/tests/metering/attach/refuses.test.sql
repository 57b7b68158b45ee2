begin;
select plan(12);

select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create table public.notes (id int primary key, tenant_id uuid, size int);
grant all on public.notes to authenticated, service_role, anon;
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select meter.attach('public.notes', 'chat_messages') $q$)
$$;

select is(tests.error_of($$ select meter.attach('public.notes', 'nonsense') $$), 'PT404 metric_not_found', 'an unknown metric');
select is(tests.error_of($$ select meter.attach('public.nonsense', 'tokens') $$), '42P01', 'an unknown table');
select is(tests.error_of($$ select meter.attach('public.notes', 'tokens', tenant => 'size') $$), '42846', 'a tenant that is no id');
insert into notes values (1, tests.tenant_id('acme'), -1);
select is(tests.error_of($$ select meter.attach('public.notes', 'seats', 'size') $$), 'PT400 invalid_amount', 'a gauge of less than nothing');
update notes set size = null;
select is(tests.error_of($$ select meter.attach('public.notes', 'seats', 'size') $$), 'PT400 invalid_amount', 'a gauge of nothing known');
select is_empty('select from tests.metered_tables', 'none of these is attached');
select tests.act_as_user('root');
select is(pg_temp.fault(), '42501', 'API roles: a platform admin');
select tests.act_as_service_role();
select is(pg_temp.fault(), '42501', 'the service role');
select is(tests.error_of($$ select meter.detach('public.notes', 'tokens') $$), '42501', 'nor do they detach');
select is(tests.error_of($$ select private.take_metered('tokens', null) $$), '42501', 'or count by hand');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon');
select is(tests.error_of('select from tests.metered_tables'), '42501', 'or see what is attached');

select * from finish();
rollback;
