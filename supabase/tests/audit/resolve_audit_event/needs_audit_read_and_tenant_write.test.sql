begin;
select plan(12);

select tests.create_user(name) from unnest(array['olga', 'edit', 'vic', 'bob']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
create temp table made as select log_audit_event(tests.tenant_id('acme'), 'payment_failed') as event, k.id as key
from create_api_key(tests.tenant_id('acme'), 'CI', 'editor') k;
grant select on made to authenticated, anon;
create function pg_temp.error() returns text language sql as $$
  select tests.error_of(format('select resolve_audit_event(%L)', (select event from made)))
$$;

select tests.act_as_user('edit');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'to an editor there is no such event');
select tests.act_as_user('vic');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'nor to a viewer');
select tests.act_as_user('vic', '{"role": "service_role", "app_metadata": {"role": "owner"}}');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'with forged claims either');
select tests.act_as_user('bob');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'nor to another tenant''s owner');
select tests.act_as_api_key((select key from made));
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'nor to an editor''s API key');
select tests.act_as_anon();
select is(pg_temp.error(), '42501', 'anon asks for none');

-- Roles are rows: one that reads events may not write to the tenant, and the other way round.
select tests.act_as_owner();
insert into public.role_permissions (role, permission) values ('viewer', 'audit:read'), ('editor', 'tenant:write');
select tests.act_as_user('vic');
select is(pg_temp.error(), 'PT403 permission_denied', 'who may read it alone does not deal with it');
select tests.act_as_user('edit');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'nor who may write alone');
select tests.act_as_owner();
select is_empty('select from public.audit_resolutions', 'so nothing was dealt with');
select is_empty($$ select from public.audit_events where event_type = 'audit_event_resolved' $$, 'nor recorded');
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(pg_temp.error(), 'PT404 audit_event_not_found', 'nor is there one to the owner of a suspended tenant');
select tests.act_as_owner();
update public.tenants set status = 'active' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(pg_temp.error(), null, 'to an active one''s there is');

select * from finish();
rollback;
