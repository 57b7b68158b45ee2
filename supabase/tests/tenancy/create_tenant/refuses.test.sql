begin;
select plan(12);

select tests.create_user('ann');

select tests.act_as_user('ann');
select is(tests.error_of($$ select create_tenant('Acme', 'pro') $$), 'PT403 plan_not_self_serve', 'a plan to be paid for');
select is(
  tests.error_of($$ select create_tenant('Acme', 'enterprise') $$), 'PT403 plan_not_self_serve', 'or agreed on'
);
select is(tests.error_of($$ select create_tenant('Acme', 'gold') $$), 'PT404 plan_not_found', 'an unknown plan');
select is(tests.error_of($$ select create_tenant('Acme', null) $$), 'PT404 plan_not_found', 'no plan');
select is(tests.error_of($$ select create_tenant('') $$), 'PT400 invalid_name', 'an empty name');
select is(tests.error_of($$ select create_tenant('   ') $$), 'PT400 invalid_name', 'a name of blanks');
select is(tests.error_of('select create_tenant(null)'), 'PT400 invalid_name', 'no name');
select is(tests.error_of($$ select create_tenant(repeat('x', 101)) $$), 'PT400 invalid_name', 'a name too long');
select lives_ok($$ select create_tenant(repeat('é', 100)) $$, 'but not one of 100 characters');

select tests.act_as_user('ann', '{"role": "service_role"}');
select is(
  tests.error_of($$ select create_tenant('Acme', 'pro') $$), 'PT403 plan_not_self_serve',
  'a forged claim buys no plan'
);
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select is(tests.error_of($$ select create_tenant('Acme') $$), 'PT403 permission_denied', 'nobody signed in');
select tests.act_as_anon();
select is(tests.error_of($$ select create_tenant('Acme') $$), '42501', 'anon');

select * from finish();
rollback;
