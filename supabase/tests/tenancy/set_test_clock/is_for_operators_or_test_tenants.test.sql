begin;
select plan(23);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.tenants (id, name, slug, plan_id, is_test)
values (tests.tenant_id('live'), 'live', 'live', 'trial', false), (tests.tenant_id('test'), 'test', 'test', 'trial', true);
select tests.add_member(t, u, r)
from unnest(array['live', 'test']) t,
  (values ('olga', 'owner'::public.member_role), ('adam', 'admin'), ('edit', 'editor'), ('vic', 'viewer')) as m (u, r);
select tests.create_tenant('rival', 'trial');
select tests.add_member('rival', 'bob', 'owner');
update public.tenants set is_test = true where id = tests.tenant_id('rival');
create temp table made as
select t, role, (create_api_key(tests.tenant_id(t), role::text, role)).id
from unnest(array['live', 'test']) t, unnest(array['admin', 'editor']::public.member_role[]) role;
grant select on made to authenticated;
create function pg_temp.error(p_tenant text) returns text language sql as $$
  select tests.error_of(format('select set_test_clock(%L, %L)', tests.tenant_id(p_tenant), '1 day'))
$$;

select tests.act_as_user('olga');
select is(pg_temp.error('test'), null, 'an owner sets a test tenant''s clock');
select is(pg_temp.error('live'), 'PT403 platform_admin_only', 'and no other''s');
select tests.act_as_user('adam');
select is(pg_temp.error('test'), null, 'so does an admin');
select is(pg_temp.error('live'), 'PT403 platform_admin_only', 'of a test tenant alone');
select tests.act_as_user('edit');
select is(pg_temp.error('test'), 'PT403 permission_denied', 'an editor does not');
select tests.act_as_user('vic');
select is(pg_temp.error('test'), 'PT403 permission_denied', 'nor a viewer');
select tests.act_as_user('vic', '{"role": "service_role", "app_metadata": {"role": "owner"}}');
select is(pg_temp.error('test'), 'PT403 permission_denied', 'nor with forged claims');
select is(pg_temp.error('live'), 'PT403 permission_denied', 'any tenant''s');
select tests.act_as_user('bob');
select is(pg_temp.error('test'), 'PT403 permission_denied', 'nor the owner of another test tenant');
select tests.act_as_api_key((select id from made where t = 'test' and role = 'admin'));
select is(pg_temp.error('test'), null, 'an admin''s API key does');
select tests.act_as_api_key((select id from made where t = 'live' and role = 'admin'));
select is(pg_temp.error('live'), 'PT403 platform_admin_only', 'of a test tenant');
select is(pg_temp.error('test'), 'PT403 permission_denied', 'that is its own');
select tests.act_as_api_key((select id from made where t = 'test' and role = 'editor'));
select is(pg_temp.error('test'), 'PT403 permission_denied', 'an editor''s does not');
select tests.act_as_anon();
select is(pg_temp.error('test'), '42501', 'nor anon');
select tests.act_as_user('root');
select is(pg_temp.error('live'), null, 'a platform admin sets any tenant''s');
select tests.act_as_service_role();
select is(pg_temp.error('live'), null, 'and the service role');

select tests.act_as_user('olga');
select is(
  tests.error_of($$ select create_tenant('Mine', 'trial', true) $$), 'PT403 platform_admin_only', 'nobody makes themselves a test tenant'
);
select is((select is_test from create_tenant('Mine', 'trial', null)), false, 'but one that is none');
select throws_ok('update public.tenants set is_test = true', '42501', null, 'nor makes it one afterwards');
select tests.act_as_user('root');
select is((select is_test from create_tenant('Sandbox', 'trial', true)), true, 'a platform admin makes one');
select tests.act_as_service_role();
select is((select is_test from create_tenant('Sandbox', 'trial', true)), true, 'and the service role');
select tests.act_as_owner();
insert into public.user_suspensions (user_id, reason) values (tests.user_id('root'), 'x');
select tests.act_as_user('root');
select is(pg_temp.error('live'), 'PT403 permission_denied', 'not when suspended');
select is(tests.error_of($$ select create_tenant('Mine', 'trial', true) $$), 'PT403 permission_denied', 'nor makes any');

select * from finish();
rollback;
