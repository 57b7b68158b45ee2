begin;
select plan(3);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'admin');
prepare may as select private.has_permission(tests.tenant_id('acme'), 'tenant:write');

select tests.act_as_user('ann');
select results_eq('may', 'select true', 'an admin may');
select tests.act_as_owner();
update public.memberships set role = 'viewer' where user_id = tests.user_id('ann');
select tests.act_as_user('ann');
select results_eq('may', 'select false', 'demoted, the same token may not');
select tests.act_as_owner();
delete from public.memberships where user_id = tests.user_id('ann');
select tests.act_as_user('ann');
select is_empty('select id from public.tenants', 'removed, they read nothing');

select * from finish();
rollback;
