begin;
select plan(9);

select tests.create_user(name) from unnest(array['edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault(p_event_id text) returns text language sql as $$
  select tests.error_of(format(
    'select record_usage(tests.tenant_id(''acme''), %L)',
    jsonb_build_array(jsonb_build_object('event_id', p_event_id, 'event_type', 'search'))
  ))
$$;

select tests.act_as_user('edit');
select is(pg_temp.fault('editor'), null, 'an editor has it');
select tests.act_as_user('root');
select is(pg_temp.fault('root'), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault('service'), null, 'the service role has it');
select is(
  tests.error_of($$ select record_usage(gen_random_uuid(), '[]') $$), 'PT404 tenant_not_found', 'of a tenant that exists'
);
select tests.act_as_user('vic');
select is(pg_temp.fault('viewer'), 'PT403 permission_denied', 'a viewer lacks it');
select tests.act_as_user('bob');
select is(pg_temp.fault('rival'), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault('forged'), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_anon();
select is(pg_temp.fault('anon'), '42501', 'anon may not call');
select tests.act_as_owner();
select set_eq(
  'select event_id from public.tenant_usage_realtime', array['editor', 'root', 'service'], 'who was refused recorded nothing'
);

select * from finish();
rollback;
