begin;
select plan(16);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select role, (create_api_key(tests.tenant_id('acme'), role::text, role)).id
from unnest(array['admin', 'viewer']::public.member_role[]) role;
grant select on made to authenticated;

prepare acme as select verify_audit_chain(tests.tenant_id('acme'));
prepare nobodys as select verify_audit_chain(null);

select tests.act_as_user('olga');
select is((select is_intact from verify_audit_chain(tests.tenant_id('acme'))), true, 'an owner verifies');
select is(tests.error_of('execute nobodys'), 'PT403 platform_admin_only', 'but not what belongs to no tenant');
select tests.act_as_user('adam');
select is(tests.error_of('execute acme'), null, 'an admin verifies');
select tests.act_as_user('edit');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'an editor does not');
select tests.act_as_user('vic');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor a viewer');
select tests.act_as_user('vic', '{"role": "service_role", "is_platform_admin": true, "app_metadata": {"role": "owner"}}');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor with forged claims');
select is(tests.error_of('execute nobodys'), 'PT403 platform_admin_only', 'at all');
select tests.act_as_user('bob');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor another tenant''s owner');
select tests.act_as_api_key((select id from made where role = 'admin'));
select is(tests.error_of('execute acme'), null, 'an admin''s API key does');
select is(tests.error_of('execute nobodys'), 'PT403 platform_admin_only', 'of its tenant');
select tests.act_as_api_key((select id from made where role = 'viewer'));
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'a viewer''s does not');
select tests.act_as_user('root');
select is(tests.error_of('execute acme'), null, 'a platform admin verifies any tenant');
select is(tests.error_of('execute nobodys'), null, 'and what belongs to none');
select tests.act_as_service_role();
select is(tests.error_of('execute nobodys'), null, 'so does the service role');
select tests.act_as_anon();
select is(tests.error_of('execute acme'), '42501', 'anon does not');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor the owner of a suspended tenant');

select * from finish();
rollback;
