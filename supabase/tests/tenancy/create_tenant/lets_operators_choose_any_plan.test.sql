begin;
select plan(5);

select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

select tests.act_as_service_role();
create temp table made as select * from create_tenant('Acme', 'enterprise');
select is((select plan_id from made), 'enterprise', 'the service role');
select is_empty('select from public.memberships', 'which makes no membership');
select is(
  tests.error_of($$ select create_tenant('Acme', 'gold') $$), 'PT404 plan_not_found', 'of the plans that exist'
);

select tests.act_as_user('root');
select is((select plan_id from create_tenant('Root', 'pro')), 'pro', 'a platform admin');
select results_eq(
  $$ select user_id, role::text from public.memberships $$, $$ values (tests.user_id('root'), 'owner') $$,
  'who becomes its owner'
);

select * from finish();
rollback;
