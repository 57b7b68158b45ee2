begin;
select plan(14);

select tests.create_user(name) from unnest(array['olga', 'root', 'boss']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root')), (tests.user_id('boss'));

select tests.act_as_user('olga');
select is(
  tests.error_of(format('select suspend_user(%L, %L)', tests.user_id('root'), 'revenge')), 'PT403 platform_admin_only',
  'a user suspends nobody'
);
select tests.act_as_user('boss');
select is(
  tests.error_of(format('select suspend_user(%L, %L)', tests.user_id('olga'), ' ')), 'PT400 invalid_reason', 'a reason is needed'
);
select is(
  tests.error_of($$ select suspend_user(gen_random_uuid(), 'x') $$), 'PT404 user_not_found', 'and a user'
);
select lives_ok(format('select suspend_user(%L, %L)', tests.user_id('olga'), 'Chargeback'), 'a platform admin suspends a user');
select lives_ok(format('select suspend_user(%L, %L)', tests.user_id('root'), 'Left'), 'and another admin');

select tests.act_as_user('olga');
select is_empty('select from public.tenants', 'a suspended owner sees nothing');
select is(
  tests.error_of(format('select consume_quota(%L, %L)', tests.tenant_id('acme'), 'tokens')), 'PT403 permission_denied',
  'and takes nothing'
);
select is(tests.error_of($$ select create_tenant('Next') $$), 'PT403 permission_denied', 'nor starts anew');
select tests.act_as_user('root');
select is_empty('select from public.tenants', 'a suspended admin is none');

select tests.act_as_owner();
select results_eq(
  $$ select event_type, actor_id, new_values ->> 'reason' from public.audit_events where event_type like 'user_suspension%' order by 3 $$,
  $$ values ('user_suspension_created', tests.user_id('boss')::text, 'Chargeback'),
       ('user_suspension_created', tests.user_id('boss')::text, 'Left') $$,
  'it is recorded, with the reason'
);
select tests.act_as_user('boss');
select lives_ok(format('select reactivate_user(%L)', tests.user_id('olga')), 'it ends');
select is(
  tests.error_of(format('select reactivate_user(%L)', tests.user_id('olga'))), 'PT404 user_not_suspended', 'once'
);
select tests.act_as_user('olga');
select isnt_empty('select from public.tenants', 'and everything is there again');
select is(
  tests.error_of(format('select reactivate_user(%L)', tests.user_id('root'))), 'PT403 platform_admin_only',
  'a user reactivates nobody'
);

select * from finish();
rollback;
