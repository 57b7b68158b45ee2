begin;
select plan(9);

select tests.create_user('vic');
select tests.create_user('bob');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001);
prepare seen as select tenant_id from public.quota_decisions;

select tests.act_as_user('vic');
select set_eq('seen', array[tests.tenant_id('acme')], 'a viewer reads their tenant''s receipts');
select throws_ok('delete from public.quota_decisions', '42501', null, 'and deletes none');
select throws_ok('update public.quota_decisions set allowed = true', '42501', null, 'nor changes one');
select tests.act_as_user('bob');
select is_empty('seen', 'another tenant''s owner reads none');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select tests.act_as_user('root');
select set_eq('seen', array[tests.tenant_id('acme')], 'a platform admin reads all');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon reads none');
select throws_ok('select from private.quota_counters', '42501', null, 'nor a counter');
select tests.act_as_service_role();
select throws_ok('select from private.quota_reservations', '42501', null, 'and nobody lists reservations');

select * from finish();
rollback;
