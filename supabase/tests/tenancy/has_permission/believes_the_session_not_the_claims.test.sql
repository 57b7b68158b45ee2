begin;
select plan(11);

select tests.create_user('root');
select tests.create_user('eve');
select tests.create_tenant('acme', 'trial');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

prepare may as select private.has_permission(tests.tenant_id('acme'), 'billing:write');

select tests.act_as_user('root');
select results_eq('may', 'select true', 'a platform admin may everything in every tenant');
select tests.act_as_user('eve');
select results_eq('may', 'select false', 'a stranger may nothing');
select tests.act_as_user('eve', '{"role": "service_role"}');
select results_eq('may', 'select false', 'nor with the service role in their claims');
select tests.act_as_user('eve', '{"role": "postgres", "is_admin": true, "app_metadata": {"role": "admin"}}');
select results_eq('may', 'select false', 'nor with any other claim');
select tests.act_as_user('eve');
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select results_eq('may', 'select false', 'nor without saying who they are');
select tests.act_as_anon();
select throws_ok('may', '42501', null, 'anon may not ask');
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select throws_ok('may', '42501', null, 'whatever their claims');

select tests.act_as_owner();
select results_eq('may', 'select true', 'a session without an API role may everything');
select set_config('request.jwt.claims', json_build_object('sub', tests.user_id('eve'), 'role', 'authenticated')::text, true);
select results_eq('may', 'select true', 'whatever claims are left in it');

select tests.act_as_service_role();
select lives_ok(
  $$ select get_quota_status(tests.tenant_id('acme')) $$, 'the service role may everything, through the functions it calls'
);
select set_config('request.jwt.claims', '', true);
select lives_ok($$ select get_quota_status(tests.tenant_id('acme')) $$, 'with no claims at all, too');

select * from finish();
rollback;
