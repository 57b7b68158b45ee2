begin;
select plan(9);

select tests.create_user('ann');
select tests.create_user('ben');
select tests.create_tenant('acme', 'startup');
select tests.create_tenant('team', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('acme', 'ben', 'editor');
select tests.add_member('team', 'ann', 'editor');
select tests.add_member('team', 'ben', 'editor');

select tests.act_as_user('ann');
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 20)), '(t,20)', 'a member takes all of theirs'
);
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, 'someone else')), '(f,20)',
  'and is still themselves, whoever they name'
);
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, tests.user_id('ben')::text)), false,
  'a colleague, too'
);
select tests.act_as_user('ben');
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1)), '(t,1)',
  'while the colleague has their own'
);

select tests.act_as_service_role();
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 2, tests.user_id('ben')::text)),
  '(t,3)', 'the service role takes for whom it names'
);
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 5, 'robot')), '(t,5)',
  'be it no user at all'
);
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 7)), '(t,7)',
  'and for nobody when it names none'
);
select tests.act_as_owner();
select set_eq(
  $$ select subject, used from private.quota_counters where period = 'day' $$,
  $$ values (tests.user_id('ann')::text, 20::bigint), (tests.user_id('ben')::text, 3), ('robot', 5), ('', 7) $$,
  'each is counted apart'
);

select tests.act_as_user('ann');
select consume_quota(tests.tenant_id('team'), 'tokens', 6000);
select tests.act_as_user('ben');
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('team'), 'tokens', 6000)), '(f,6000)',
  'a limit of the tenant is shared'
);

select * from finish();
rollback;
