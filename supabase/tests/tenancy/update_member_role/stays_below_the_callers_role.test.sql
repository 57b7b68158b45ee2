begin;
select plan(14);

select tests.create_user(name) from unnest(array['olga', 'otto', 'adam', 'ada', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'pro');
select tests.create_tenant('rival', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'ada', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

create function pg_temp.change(p_user text, p_role text) returns text language sql as $$
  select tests.error_of(format(
    'select update_member_role(%L, %L, %L)', tests.tenant_id('acme'), tests.user_id(p_user), p_role
  ))
$$;

select tests.act_as_user('adam');
select is(pg_temp.change('vic', 'editor'), null, 'an admin promotes a viewer');
select is(pg_temp.change('edit', 'admin'), null, 'up to their own role');
select is(pg_temp.change('edit', 'owner'), 'PT403 role_above_own', 'not above it');
select is(pg_temp.change('adam', 'owner'), 'PT403 role_above_own', 'nor themselves');
select is(pg_temp.change('olga', 'viewer'), 'PT403 role_above_own', 'and demotes no owner');
select is(pg_temp.change('ada', 'viewer'), null, 'but another admin');
select is(pg_temp.change('bob', 'viewer'), 'PT404 member_not_found', 'a stranger is no member');
select is(pg_temp.change('vic', null), 'PT400 invalid_role', 'a role is needed');

select tests.act_as_user('vic');
select is(pg_temp.change('edit', 'viewer'), 'PT403 permission_denied', 'an editor changes nobody');
select is(pg_temp.change('vic', 'admin'), 'PT403 permission_denied', 'not even themselves');
select tests.act_as_user('bob', '{"role": "service_role", "user_metadata": {"role": "owner"}}');
select is(pg_temp.change('edit', 'viewer'), 'PT403 permission_denied', 'nor does another tenant''s owner with forged claims');

select tests.act_as_user('root');
select is(pg_temp.change('vic', 'owner'), null, 'a platform admin acts as an owner');
select is(pg_temp.change('olga', 'admin'), null, 'a tenant''s owner may be demoted where another is left');
select tests.act_as_owner();
select results_eq(
  format($$ select tests.user_id(n) = m.user_id, m.role::text from unnest(array['olga', 'adam', 'ada', 'edit', 'vic'])
    with ordinality as u (n, i) join public.memberships m on m.user_id = tests.user_id(n) where tenant_id = %L order by i $$,
    tests.tenant_id('acme')),
  $$ values (true, 'admin'), (true, 'admin'), (true, 'viewer'), (true, 'admin'), (true, 'owner') $$,
  'what was refused changed nothing'
);

select * from finish();
rollback;
