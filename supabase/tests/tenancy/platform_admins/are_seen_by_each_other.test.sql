begin;
select plan(9);

select tests.create_user('root');
select tests.create_user('olga');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
prepare seen as select user_id from public.platform_admins;
prepare make_admin as insert into public.platform_admins (user_id) values (tests.user_id('olga'));

select tests.act_as_user('root');
select set_eq('seen', array[tests.user_id('root')], 'a platform admin sees them');
select throws_ok('make_admin', '42501', null, 'but makes none');
select tests.act_as_user('olga');
select is_empty('seen', 'an owner of a tenant does not see them');
select throws_ok('make_admin', '42501', null, 'nor becomes one');
select throws_ok('delete from public.platform_admins', '42501', null, 'nor removes one');
select tests.act_as_user('olga', '{"role": "service_role"}');
select throws_ok('make_admin', '42501', null, 'nor with a forged claim');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon does not see them');
select tests.act_as_service_role();
select lives_ok('make_admin', 'the service role makes one');
select tests.act_as_user('olga');
select ok(private.is_platform_admin(), 'who then is one');

select * from finish();
rollback;
