begin;
select plan(11);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
prepare erase as select erase_audit_personal_data(tests.user_id('olga'), 'x@example.com');

select tests.act_as_user('olga');
select is(tests.error_of('execute erase'), 'PT403 platform_admin_only', 'an owner erases nothing');
select tests.act_as_user('olga', '{"role": "service_role", "is_admin": true}');
select is(tests.error_of('execute erase'), 'PT403 platform_admin_only', 'nor with forged claims');
select tests.act_as_api_key((select id from create_api_key(tests.tenant_id('acme'), 'CI', 'owner')));
select is(tests.error_of('execute erase'), 'PT403 platform_admin_only', 'nor does an owner''s API key');
select tests.act_as_anon();
select is(tests.error_of('execute erase'), '42501', 'nor anon');
select tests.act_as_owner();
select is((select count(*) from public.audit_events where personal ->> 'email' = 'olga@example.com'), 1::bigint, 'so it is still there');

select tests.act_as_user('root');
select is(tests.error_of('select erase_audit_personal_data()'), 'PT400 invalid_request', 'somebody has to be named');
select is((select erase_audit_personal_data(tests.user_id('olga'), 'x@example.com')), 1::bigint, 'a platform admin erases');
select tests.act_as_owner();
select results_eq(
  $$ select tenant_id, action, entity_type, entity_id, actor_type::text, actor_id, metadata, personal
     from public.audit_events where event_type = 'personal_data_erased' $$,
  $$ values (null::uuid, 'erased', 'user', tests.user_id('olga')::text, 'admin', tests.user_id('root')::text,
       '{"events": 1}'::jsonb, null::jsonb) $$,
  'which is an event itself, without the address'
);
select tests.act_as_service_role();
select is((select erase_audit_personal_data(email => 'nobody@example.com')), 0::bigint, 'so does the service role');
select tests.act_as_owner();
select is(
  (select count(*) from public.audit_events where event_type = 'personal_data_erased'), 2::bigint, 'each time is recorded'
);
-- Who was deleted is still known by their id.
delete from auth.users where id = tests.user_id('root');
select erase_audit_personal_data(tests.user_id('root'));
select is_empty($$ select from public.audit_events where personal ->> 'email' = 'root@example.com' $$, 'a deleted user''s data goes, too');

select * from finish();
rollback;
