begin;
select plan(12);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'eve', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
prepare seen as select id from public.tenants;
prepare members_seen as select user_id from public.memberships;

select tests.act_as_user('vic');
select set_eq('seen', array[tests.tenant_id('acme')], 'a viewer reads their tenant');
select set_eq(
  'members_seen',
  array[tests.user_id('olga'), tests.user_id('adam'), tests.user_id('edit'), tests.user_id('vic')],
  'and its members'
);
select tests.act_as_user('bob');
select set_eq('seen', array[tests.tenant_id('rival')], 'another tenant''s owner reads theirs');
select set_eq('members_seen', array[tests.user_id('bob')], 'and theirs');
select tests.act_as_user('eve');
select is_empty('seen', 'a stranger reads no tenant');
select is_empty('members_seen', 'nor membership');
select tests.act_as_user('eve', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select tests.act_as_user('root');
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'a platform admin reads all');
select is((select count(*) from public.memberships), 5::bigint, 'and all memberships');
select tests.act_as_service_role();
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'so does the service role');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon reads no tenant');
select throws_ok('members_seen', '42501', null, 'nor membership');

select * from finish();
rollback;
