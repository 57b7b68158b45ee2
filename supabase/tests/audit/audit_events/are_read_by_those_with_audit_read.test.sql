begin;
select plan(8);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
update public.plan_limits set limit_value = 11 where plan_id = 'free' and metric = 'workflows';

prepare tenants_seen as select distinct tenant_id from public.audit_events order by 1;
prepare acme as select tests.tenant_id('acme');

select tests.act_as_user('olga');
select results_eq('tenants_seen', 'acme', 'an owner reads their tenant''s events and no others');
select tests.act_as_user('adam');
select results_eq('tenants_seen', 'acme', 'so does an admin');
select tests.act_as_user('edit');
select is_empty('tenants_seen', 'an editor reads none');
select tests.act_as_user('vic');
select is_empty('tenants_seen', 'a viewer reads none');
select tests.act_as_user('vic', '{"role": "service_role"}');
select is_empty('tenants_seen', 'nor with a forged claim');
select tests.act_as_user('bob');
select results_eq('tenants_seen', $$ select tests.tenant_id('rival') $$, 'another tenant''s owner reads that tenant''s');
select tests.act_as_user('root');
select ok(
  (select bool_or(tenant_id = tests.tenant_id('acme')) and bool_or(tenant_id = tests.tenant_id('rival'))
     and bool_or(tenant_id is null) from public.audit_events),
  'a platform admin reads all'
);

select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is_empty('tenants_seen', 'the owner of a suspended tenant reads none');

select * from finish();
rollback;
