begin;
select plan(10);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
prepare rename as update public.tenants set name = name || '!' where id = tests.tenant_id('acme') returning name;

select tests.act_as_user('olga');
select results_eq('rename', $$ values ('acme!') $$, 'an owner renames');
select tests.act_as_user('adam');
select results_eq('rename', $$ values ('acme!!') $$, 'so does an admin');
select tests.act_as_user('root');
select results_eq('rename', $$ values ('acme!!!') $$, 'and a platform admin');
select tests.act_as_user('edit');
select is_empty('rename', 'an editor does not');
select tests.act_as_user('vic');
select is_empty('rename', 'nor a viewer');
select tests.act_as_user('bob');
select is_empty('rename', 'nor another tenant''s owner');
select tests.act_as_user('vic', '{"role": "service_role"}');
select is_empty('rename', 'nor a forged claim');
select tests.act_as_anon();
select throws_ok('rename', '42501', null, 'nor anon');
select tests.act_as_owner();
select is((select name from public.tenants where slug = 'acme'), 'acme!!!', 'and nothing was renamed meanwhile');

select tests.act_as_user('olga');
select throws_ok(
  $$ update public.tenants set name = '' where id = tests.tenant_id('acme') $$, '23514', null, 'a name is not empty'
);

select * from finish();
rollback;
