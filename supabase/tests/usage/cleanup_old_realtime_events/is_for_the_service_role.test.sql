begin;
select plan(8);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
select tests.create_tenant('acme', 'trial');
-- Dropping waits for whoever makes a day, and making one for whoever drops.
select pg_advisory_xact_lock(hashtext('meterbase.ensure_partition'));
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

select tests.act_as_service_role();
select is(tests.error_of('select cleanup_old_realtime_events()'), null, 'the service role cleans up');
select is(tests.error_of($$ select cleanup_old_realtime_events(null) $$), 'PT400 invalid_keep', 'to keep an interval');
select is(tests.error_of($$ select cleanup_old_realtime_events('-1 second') $$), 'PT400 invalid_keep', 'of 0 or more');
select is(tests.error_of($$ select cleanup_old_realtime_events('0') $$), null, 'be it 0');
select isnt_empty(
  $$ select from pg_inherits where inhparent = 'public.tenant_usage_realtime'::regclass $$, 'which leaves the day under way'
);
select tests.act_as_user('root');
select is(tests.error_of('select cleanup_old_realtime_events()'), '42501', 'a platform admin does not');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of('select cleanup_old_realtime_events()'), '42501', 'nor an owner');
select tests.act_as_anon();
select is(tests.error_of('select cleanup_old_realtime_events()'), '42501', 'nor anon');

select * from finish();
rollback;
