begin;
select plan(24);

select tests.create_user(name) from unnest(array['edit', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'edit', 'editor');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table key as select id from create_api_key(tests.tenant_id('acme'), 'CI', 'editor');
grant select on key to authenticated;
select set_config('request.headers', '{"x-real-ip": "203.0.113.7", "user-agent": "curl/8", "x-request-id": "r-1"}', true);
-- Who did it, as it was stored.
create function pg_temp.actor_of(p_id uuid) returns text language sql security definer as $$
  select format('%s %s %s %s %s', actor_type, actor_id, ip_address, user_agent, request_id)
  from public.audit_events where event_id = p_id
$$;
create function pg_temp.log(p_arguments text default '') returns text language plpgsql as $$
declare
  v_id uuid;
begin
  execute format('select log_audit_event(tests.tenant_id(''acme''), ''x'' %s)', p_arguments) into v_id;
  return pg_temp.actor_of(v_id);
end
$$;

create function pg_temp.accepted() returns setof text language sql as $$
  select a from unnest(array[
    ', actor_type => ''system''', ', actor_type => ''tenant''', ', actor_id => ''x''', ', ip_address => ''::1''',
    ', user_agent => ''x''', ', request_id => ''x'''
  ]) a
  where tests.error_of(format('select pg_temp.log(%L)', a)) is distinct from 'PT403 actor_not_yours'
$$;
select tests.act_as_user('edit');
select is(pg_temp.log(), format('tenant %s 203.0.113.7 curl/8 r-1', tests.user_id('edit')), 'a member is who calls');
select is_empty('select pg_temp.accepted()', 'and tells of nobody else, from nowhere else');
select tests.act_as_user('edit', '{"role": "service_role"}');
select is_empty('select pg_temp.accepted()', 'whatever the claims say');
select is(
  tests.error_of($$ select pg_temp.log(', actor_type => null, actor_id => null, ip_address => null') $$), null, 'null is nobody else'
);
select tests.act_as_api_key((select id from key));
select is(pg_temp.log(), format('api_key %s 203.0.113.7 curl/8 r-1', (select id from key)), 'so is an API key');
select is_empty('select pg_temp.accepted()', 'which tells of nobody else');
select tests.act_as_user('root');
select is(pg_temp.log(), format('admin %s 203.0.113.7 curl/8 r-1', tests.user_id('root')), 'and a platform admin');
select is_empty('select pg_temp.accepted()', 'who tells of nobody else');

select tests.act_as_service_role();
select is(pg_temp.log(), 'system service_role 203.0.113.7 curl/8 r-1', 'the service role is the system');
select is(
  pg_temp.log($$, actor_type => 'tenant', actor_id => 'u-1', ip_address => '2001:db8::1', user_agent => 'Firefox', request_id => 'r-2' $$),
  'tenant u-1 2001:db8::1 Firefox r-2', 'unless it tells of another'
);
select is(pg_temp.log($$, actor_type => 'visitor' $$), 'visitor  203.0.113.7 curl/8 r-1', 'of whom the id may not be known');
select is(pg_temp.log($$, actor_id => 'job-1' $$), 'system job-1 203.0.113.7 curl/8 r-1', 'or of a part of itself');
select is(pg_temp.log($$, user_agent => 'x' $$), 'system service_role 203.0.113.7 x r-1', 'each alone');
select is(pg_temp.log($$, ip_address => '::1' $$), 'system service_role ::1 curl/8 r-1', 'be it the address');
select is(pg_temp.log($$, request_id => 'x' $$), 'system service_role 203.0.113.7 curl/8 x', 'or the request');
select tests.act_as_owner();
select is(pg_temp.log(), format('system %s 203.0.113.7 curl/8 r-1', session_user), 'a database session is its user');
select is((select array_agg(distinct source::text) from public.audit_events where event_type = 'x'), array['application'], 'the source is the application, always');

-- Where it happens to nobody's tenant.
select tests.act_as_user('edit');
select is(tests.error_of($$ select log_audit_event(null, 'x') $$), 'PT403 platform_admin_only', 'a member tells nothing of no tenant');
select tests.act_as_user('edit', '{"role": "service_role"}');
select is(tests.error_of($$ select log_audit_event(null, 'x') $$), 'PT403 platform_admin_only', 'with forged claims either');
select tests.act_as_api_key((select id from key));
select is(tests.error_of($$ select log_audit_event(null, 'x') $$), 'PT403 platform_admin_only', 'nor does an API key');
select tests.act_as_user('root');
select is(pg_temp.actor_of(log_audit_event(null, 'x')), format('admin %s 203.0.113.7 curl/8 r-1', tests.user_id('root')), 'a platform admin does');
select tests.act_as_service_role();
select is(pg_temp.actor_of(log_audit_event(null, 'x')), 'system service_role 203.0.113.7 curl/8 r-1', 'and the service role');
select tests.act_as_anon();
select is(tests.error_of($$ select log_audit_event(null, 'x') $$), '42501', 'anon tells nothing');
select tests.act_as_owner();
select is_empty($$ select from public.audit_events where source = 'application' and event_type <> 'x' $$, 'nothing else was stored');

select * from finish();
rollback;
