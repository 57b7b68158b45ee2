begin;
select plan(10);

-- Waited for at first, holding nothing; and no test that waits for these holds a name or a lock that is needed below.
select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events'));
lock table only public.audit_events in access exclusive mode;
select tests.create_user(name) from unnest(array['cleaning owner', 'cleaning root']) name;
select tests.create_tenant('cleaned', 'trial');
select tests.add_member('cleaned', 'cleaning owner', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('cleaning root'));

select tests.act_as_user('cleaning root');
select is(tests.error_of('select cleanup_old_audit_events()'), '42501', 'a platform admin does not clean up');
select is(tests.error_of('select private.cleanup_old_audit_events()'), '42501', 'past the wrapper either');
select tests.act_as_user('cleaning owner', '{"role": "service_role"}');
select is(tests.error_of('select cleanup_old_audit_events()'), '42501', 'nor an owner');
select tests.act_as_anon();
select is(tests.error_of('select cleanup_old_audit_events()'), '42501', 'nor anon');
select tests.act_as_service_role();
select is(tests.error_of('select cleanup_old_audit_events()'), null, 'the service role cleans up');
select is(tests.error_of($$ select cleanup_old_audit_events(null) $$), 'PT400 invalid_keep', 'to keep an interval');
select is(tests.error_of($$ select cleanup_old_audit_events('-1 microsecond') $$), 'PT400 invalid_keep', 'of 0 or more');
select is(tests.error_of($$ select cleanup_old_audit_events('0') $$), null, 'be it 0');
select tests.act_as_owner();
select isnt_empty(
  $$ select from private.audit_partitions() where starts_at <= now() and now() < ends_at $$, 'which leaves the month under way'
);
select is(
  (select array_agg(name::text order by starts_at) from private.audit_partitions()
   where to_char(starts_at at time zone 'UTC', '"audit_events_y"YYYY"m"MM') = name),
  (select array_agg(c.relname::text order by c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'public.audit_events'::regclass),
  'a partition''s month is read from its name'
);

select * from finish();
rollback;
