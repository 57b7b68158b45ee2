begin;
select plan(6);

select tests.create_user(name) from unnest(array['olga', 'adam', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');

create function pg_temp.transfer(p_user text) returns text language sql as $$
  select tests.error_of(format('select transfer_ownership(%L, %L)', tests.tenant_id('acme'), tests.user_id(p_user)))
$$;
select tests.act_as_user('adam');
select is(pg_temp.transfer('adam'), 'PT403 role_above_own', 'an admin does not make themselves owner');
select tests.act_as_user('olga');
select is(pg_temp.transfer('bob'), 'PT404 member_not_found', 'only a member becomes owner');
select is(pg_temp.transfer('olga'), null, 'an owner may be told to stay one');
select is(pg_temp.transfer('adam'), null, 'an owner hands over');
select is(pg_temp.transfer('olga'), 'PT403 role_above_own', 'and cannot take it back');
select tests.act_as_owner();
select set_eq(
  format('select user_id, role::text from public.memberships where tenant_id = %L', tests.tenant_id('acme')),
  $$ values (tests.user_id('adam'), 'owner'), (tests.user_id('olga'), 'admin') $$,
  'the two have changed places'
);

select * from finish();
rollback;
