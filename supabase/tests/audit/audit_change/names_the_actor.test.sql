begin;
select plan(3);

select tests.create_user('ann');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'admin');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
delete from public.audit_events;

update public.tenants set name = 'by owner' where id = tests.tenant_id('acme');
select tests.act_as_service_role();
update public.tenants set name = 'by service role' where id = tests.tenant_id('acme');
select tests.act_as_user('root');
update public.tenants set name = 'by admin' where id = tests.tenant_id('acme');
select tests.act_as_user('ann');
update public.tenants set name = 'by member' where id = tests.tenant_id('acme');
select tests.act_as_user('ann', '{"role": "service_role"}');
update public.tenants set name = 'by forger' where id = tests.tenant_id('acme');
select tests.act_as_owner();

select set_eq(
  $$ select new_values ->> 'name', actor_type::text, actor_id from public.audit_events $$,
  $$ values
       ('by owner', 'system', session_user::text),
       ('by service role', 'system', 'service_role'),
       ('by admin', 'admin', tests.user_id('root')::text),
       ('by member', 'tenant', tests.user_id('ann')::text),
       ('by forger', 'tenant', tests.user_id('ann')::text) $$,
  'the actor is who called, whatever the claims say of the role'
);

delete from public.audit_events;
select set_config('request.headers', '{"user-agent": "curl/8", "x-request-id": "r-1"}', true);
update public.tenants set name = 'by curl' where id = tests.tenant_id('acme');
select results_eq(
  'select user_agent, request_id from public.audit_events', $$ values ('curl/8', 'r-1') $$,
  'the event carries the request that caused it'
);

update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('acme');
select is_empty(
  'select from public.audit_events where occurred_at <> now()', 'its time is the real one, whatever the test clock says'
);

select * from finish();
rollback;
