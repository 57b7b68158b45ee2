begin;
select plan(7);

select tests.create_user(name) from unnest(array['vic', 'eve']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select set_custom_quota(tests.tenant_id('acme'), 'api_calls', 1);

select tests.act_as_user('vic');
select results_eq(
  $$ select metric, allowed, used, remaining from count_request(tests.tenant_id('acme')) $$,
  $$ values ('api_calls', true, 1::bigint, 0::bigint) $$, 'a viewer''s request counts'
);
select results_eq(
  $$ select allowed, reason from count_request(tests.tenant_id('acme')) $$, $$ values (false, 'quota_exceeded') $$, 'up to the limit'
);
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'api_calls') $$), 'PT403 permission_denied', 'but it takes nothing else'
);
select tests.act_as_user('eve');
select is(tests.error_of($$ select count_request(tests.tenant_id('acme')) $$), 'PT403 permission_denied', 'a stranger''s does not');
select tests.act_as_user('eve', '{"role": "service_role"}');
select is(tests.error_of($$ select count_request(tests.tenant_id('acme')) $$), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_anon();
select is(tests.error_of($$ select count_request(tests.tenant_id('acme')) $$), '42501', 'nor a visitor''s');
select tests.act_as_owner();
select results_eq(
  'select metric, allowed, denied from get_quota_checks(tests.tenant_id(''acme'')) where metric <> ''team_members''',
  $$ values ('api_calls', 1::bigint, 1::bigint) $$, 'both are checks'
);

select * from finish();
rollback;
