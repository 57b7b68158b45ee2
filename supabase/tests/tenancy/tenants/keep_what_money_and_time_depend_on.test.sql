begin;
select plan(14);

select tests.create_user('olga');
select tests.create_user('root');
select tests.create_user('eve');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

select tests.act_as_user('olga');
select throws_ok($$ update public.tenants set plan_id = 'enterprise' $$, '42501', null, 'an owner does not set the plan');
select throws_ok($$ update public.tenants set status = 'active' $$, '42501', null, 'nor the status');
select throws_ok($$ update public.tenants set clock_offset = '1 day' $$, '42501', null, 'nor the clock');
select throws_ok($$ update public.tenants set trial_ends_at = 'infinity' $$, '42501', null, 'nor the end of the trial');
select throws_ok($$ update public.tenants set slug = 'other' $$, '42501', null, 'nor the slug');
select throws_ok($$ update public.tenants set stripe_customer_id = 'cus_1' $$, '42501', null, 'nor the customer');
select throws_ok(
  $$ insert into public.tenants (name, slug) values ('x', 'x') $$, '42501', null, 'nor inserts a tenant'
);
select throws_ok('delete from public.tenants', '42501', null, 'nor deletes one');
select throws_ok(
  $$ insert into public.memberships (tenant_id, user_id, role)
     values (tests.tenant_id('acme'), tests.user_id('eve'), 'viewer') $$,
  '42501', null, 'nor inserts a membership'
);
select throws_ok($$ update public.memberships set role = 'owner' $$, '42501', null, 'nor changes one');
select throws_ok('delete from public.memberships', '42501', null, 'nor deletes one');
select throws_ok(
  $$ insert into public.tenant_limits (tenant_id, metric, period) values (tests.tenant_id('acme'), 'tokens', 'day') $$,
  '42501', null, 'nor lifts a limit'
);
select tests.act_as_user('root');
select throws_ok(
  $$ update public.tenants set plan_id = 'enterprise' $$, '42501', null, 'nor does a platform admin, past the functions'
);
select tests.act_as_service_role();
select lives_ok(
  $$ update public.tenants set plan_id = 'enterprise', status = 'suspended', clock_offset = '1 day' $$,
  'the service role does'
);

select * from finish();
rollback;
