begin;
select plan(8);

select tests.create_user('olga');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('other', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('other', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');

select tests.act_as_user('olga');
select ok(not private.has_permission(tests.tenant_id('acme'), 'tenant:read'), 'the owner of a suspended tenant may nothing');
select ok(private.has_permission(tests.tenant_id('other'), 'tenant:read'), 'but may in their other tenant');
select set_eq(
  $$ select id from private.tenant_ids_with('tenant:read') id $$, array[tests.tenant_id('other')], 'sets agree'
);
select set_eq('select id from public.tenants', array[tests.tenant_id('other')], 'so does what they read');
select set_eq(
  'select tenant_id from public.memberships', array[tests.tenant_id('other')], 'not even that they belong to it is seen'
);
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'tokens') $$), 'PT403 permission_denied',
  'and calls are refused'
);

select tests.act_as_user('root');
select ok(private.has_permission(tests.tenant_id('acme'), 'tenant:read'), 'a platform admin still may');

select tests.act_as_owner();
update public.tenants set status = 'active' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select ok(private.has_permission(tests.tenant_id('acme'), 'tenant:read'), 'the owner may again when it is active again');

select * from finish();
rollback;
