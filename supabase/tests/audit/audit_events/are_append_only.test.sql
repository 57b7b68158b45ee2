begin;
select plan(13);

select tests.create_user('ann');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

prepare write_event as insert into public.audit_events (event_type, action, actor_type) values ('x', 'x', 'system');
prepare change_event as update public.audit_events set severity = 'info';
prepare delete_event as delete from public.audit_events;

select tests.act_as_user('ann');
select throws_ok('write_event', '42501', null, 'an owner writes no event');
select throws_ok('change_event', '42501', null, 'nor changes one');
select throws_ok('delete_event', '42501', null, 'nor deletes one');
select throws_ok('truncate public.audit_events', '42501', null, 'nor all');
select throws_ok(
  $$ select private.audit(tests.tenant_id('acme'), 'x', 'x') $$, '42501', null, 'nor calls what writes them'
);
select tests.act_as_user('root');
select throws_ok('write_event', '42501', null, 'a platform admin writes no event');
select throws_ok('change_event', '42501', null, 'nor changes one');
select throws_ok('delete_event', '42501', null, 'nor deletes one');
select tests.act_as_service_role();
select throws_ok('write_event', '42501', null, 'the service role writes no event');
select throws_ok('change_event', '42501', null, 'nor changes one');
select throws_ok('delete_event', '42501', null, 'nor deletes one');
select tests.act_as_anon();
select throws_ok('write_event', '42501', null, 'anon writes no event');
select throws_ok('select from public.audit_events', '42501', null, 'nor reads one');

select * from finish();
rollback;
