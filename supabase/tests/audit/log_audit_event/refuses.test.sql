begin;
select plan(20);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
create temp table made as
select role, (create_api_key(tests.tenant_id('acme'), role::text, role)).id
from unnest(array['editor', 'viewer']::public.member_role[]) role;
grant select on made to authenticated;
create function pg_temp.error(p_type text default 'x', p_metadata jsonb default '{}') returns text language sql as $$
  select tests.error_of(format('select log_audit_event(tests.tenant_id(''acme''), %L, metadata => %L)', p_type, p_metadata))
$$;

select tests.act_as_user('vic');
select is(pg_temp.error(), 'PT403 permission_denied', 'a viewer tells nothing');
select tests.act_as_user('vic', '{"role": "service_role", "app_metadata": {"role": "owner"}}');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor with forged claims');
select tests.act_as_user('bob');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor another tenant''s owner');
select tests.act_as_api_key((select id from made where role = 'viewer'));
select is(pg_temp.error(), 'PT403 permission_denied', 'nor a viewer''s API key');
select tests.act_as_api_key((select id from made where role = 'editor'));
select is(pg_temp.error(), null, 'an editor''s does');
select is(tests.error_of($$ select log_audit_event(tests.tenant_id('rival'), 'x') $$), 'PT403 permission_denied', 'of its tenant alone');
select tests.act_as_user('adam');
select is(pg_temp.error(), null, 'an admin does');
select tests.act_as_user('olga');
select is(pg_temp.error(), null, 'and an owner');
select tests.act_as_service_role();
select is(tests.error_of($$ select log_audit_event(gen_random_uuid(), 'x') $$), 'PT404 tenant_not_found', 'of a tenant that exists');

select tests.act_as_user('edit');
select is_empty(
  $$ select type from unnest(array[null, '', 'Upper', '1st', '_x', '.x', 'a b', 'a-b', 'ä', e'a\n', e'a\nb', 'a%', rpad('a', 64, 'a')]) type
     where pg_temp.error(type) is distinct from 'PT400 invalid_event_type' $$,
  'a type is a name'
);
select is_empty(
  $$ select type from unnest(array['a', 'payment_failed', 'payment.failed2', rpad('a', 63, 'a')]) type
     where pg_temp.error(type) is not null $$,
  'of lower case letters, digits, underscores and dots'
);
select is_empty(
  $$ select t from unnest(array['membership_created', 'tenant_updated', 'api_key_deleted', 'tenant_invite_updated']) t
     where pg_temp.error(t) is distinct from 'PT400 reserved_event_type' $$,
  'what the database tells, nobody else does'
);
select is_empty(
  $$ select t from unnest(array['document_created', 'membership_praised', 'created', 'tenant_created_again']) t
     where pg_temp.error(t) is not null $$,
  'what it does not, anybody may'
);
select is(pg_temp.error('x', '["a"]'), 'PT400 invalid_metadata', 'metadata is an object');
select is(
  tests.error_of($$ select log_audit_event(tests.tenant_id('acme'), 'x', personal => '"ann@example.com"') $$),
  'PT400 invalid_metadata', 'so is personal data'
);
select is(pg_temp.error('x', jsonb_build_object('a', repeat('x', 65536))), 'PT400 audit_event_too_large', 'an event is not too large');
select is(pg_temp.error('x', jsonb_build_object('a', repeat('ü', 32768))), 'PT400 audit_event_too_large', 'in bytes');
select is(pg_temp.error('x', jsonb_build_object('a', repeat('x', 65000))), null, 'up to 64 kB');
select is(
  tests.error_of(format('select log_audit_event(tests.tenant_id(''acme''), ''x'', %L)', repeat('x', 66000))), 'PT400 audit_event_too_large',
  'in whatever argument'
);
select tests.act_as_owner();
update public.tenants set status = 'suspended';
select tests.act_as_user('edit');
select is(pg_temp.error(), 'PT403 permission_denied', 'nobody tells of a suspended tenant');

select * from finish();
rollback;
