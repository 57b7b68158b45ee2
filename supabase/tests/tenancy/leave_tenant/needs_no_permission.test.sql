begin;
select plan(6);

select tests.create_user(name) from unnest(array['olga', 'vic', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
create function pg_temp.leave() returns text language sql as $$
  select tests.error_of(format('select leave_tenant(%L)', tests.tenant_id('acme')))
$$;

select tests.act_as_user('vic');
select is(pg_temp.leave(), null, 'a viewer leaves');
select is(pg_temp.leave(), 'PT404 member_not_found', 'once');
select tests.act_as_user('bob');
select is(pg_temp.leave(), 'PT404 member_not_found', 'a stranger does not');
select tests.act_as_user('olga');
select is(pg_temp.leave(), 'PT409 last_owner', 'nor does the last owner');
select tests.act_as_anon();
select is(pg_temp.leave(), '42501', 'nor who is not signed in');
select tests.act_as_owner();
select is((select array_agg(user_id) from public.memberships), array[tests.user_id('olga')], 'so one is left');

select * from finish();
rollback;
