begin;
select plan(14);

select tests.create_user(name) from unnest(array['olga', 'otto', 'adam', 'vic', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'vic', 'viewer');

create function pg_temp.remove(p_user text) returns text language sql as $$
  select tests.error_of(format('select remove_member(%L, %L)', tests.tenant_id('acme'), tests.user_id(p_user)))
$$;

select tests.act_as_user('vic');
select is(pg_temp.remove('adam'), 'PT403 permission_denied', 'a viewer removes nobody');
select tests.act_as_user('adam');
select is(pg_temp.remove('olga'), 'PT403 role_above_own', 'an admin removes no owner');
select is(pg_temp.remove('bob'), 'PT404 member_not_found', 'nor who is no member');
select tests.act_as_user('olga');
select is(pg_temp.remove('olga'), 'PT409 last_owner', 'the last owner does not leave');
select is(
  tests.error_of(format('select update_member_role(%L, %L, %L)', tests.tenant_id('acme'), tests.user_id('olga'), 'admin')),
  'PT409 last_owner', 'nor step down'
);
select tests.act_as_service_role();
select is(
  tests.error_of(format('delete from public.memberships where tenant_id = %L', tests.tenant_id('acme'))),
  'PT409 last_owner', 'nor is deleted by the service role'
);
select is(
  tests.error_of(format(
    'update public.memberships set role = %L where user_id = %L', 'viewer', tests.user_id('olga')
  )),
  'PT409 last_owner', 'or demoted by it'
);
select tests.act_as_owner();
select is(
  tests.error_of(format('delete from auth.users where id = %L', tests.user_id('olga'))), 'PT409 last_owner',
  'nor does the account of a last owner go'
);

select tests.add_member('acme', 'otto', 'owner');
select tests.act_as_user('olga');
select is(pg_temp.remove('olga'), null, 'with another owner, one leaves');
select is(pg_temp.remove('vic'), 'PT403 permission_denied', 'and has no say any more');
select tests.act_as_user('vic');
select is(pg_temp.remove('vic'), null, 'a viewer may leave');
select is(pg_temp.remove('vic'), 'PT404 member_not_found', 'once');

select tests.act_as_owner();
select lives_ok(
  format('delete from public.tenants where id = %L', tests.tenant_id('acme')), 'a tenant is deleted with its last owner'
);
select is_empty(
  format('select from public.memberships where tenant_id = %L', tests.tenant_id('acme')), 'and nobody is left of it'
);

select * from finish();
rollback;
