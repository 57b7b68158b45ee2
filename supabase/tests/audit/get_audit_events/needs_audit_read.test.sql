begin;
select plan(17);

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
from unnest(array['admin', 'editor']::public.member_role[]) role;
grant select on made to authenticated;
prepare acme as select get_audit_events(tests.tenant_id('acme'));
prepare everything as select get_audit_events();

select tests.act_as_user('olga');
select is(
  (select array_agg(distinct tenant_id) from get_audit_events(tests.tenant_id('acme'))), array[tests.tenant_id('acme')],
  'an owner reads their tenant''s events'
);
select is(tests.error_of('execute everything'), 'PT403 platform_admin_only', 'and not all');
select tests.act_as_user('adam');
select is(tests.error_of('execute acme'), null, 'so does an admin');
select tests.act_as_user('edit');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'an editor does not');
select tests.act_as_user('vic');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor a viewer');
select tests.act_as_user('vic', '{"role": "service_role", "app_metadata": {"role": "owner", "platform_admin": true}}');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor with forged claims');
select is(tests.error_of('execute everything'), 'PT403 platform_admin_only', 'at all');
select tests.act_as_user('bob');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor another tenant''s owner');
select tests.act_as_api_key((select id from made where role = 'admin'));
select is(tests.error_of('execute acme'), null, 'an admin''s API key reads');
select is(tests.error_of('execute everything'), 'PT403 platform_admin_only', 'its tenant''s');
select tests.act_as_api_key((select id from made where role = 'editor'));
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'an editor''s does not');
select tests.act_as_user('root');
select ok(
  (select bool_or(tenant_id = tests.tenant_id('acme')) and bool_or(tenant_id = tests.tenant_id('rival'))
     and bool_or(tenant_id is null) from get_audit_events(max_rows => 1000)),
  'a platform admin reads all'
);
select tests.act_as_service_role();
select is(tests.error_of('execute everything'), null, 'so does the service role');
select tests.act_as_anon();
select is(tests.error_of('execute acme'), '42501', 'anon reads none');

select tests.act_as_owner();
insert into public.user_suspensions (user_id, reason) values (tests.user_id('root'), 'x');
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('root');
select is(tests.error_of('execute everything'), 'PT403 platform_admin_only', 'nor does a suspended admin');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'of a tenant either');
select tests.act_as_user('olga');
select is(tests.error_of('execute acme'), 'PT403 permission_denied', 'nor the owner of a suspended tenant');

select * from finish();
rollback;
