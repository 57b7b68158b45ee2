begin;
select plan(22);

select tests.create_user(name) from unnest(array['olga']) name;
select tests.create_tenant('acme', 'pro');
select tests.create_tenant('rival', 'pro');
select tests.add_member('acme', 'olga', 'owner');
create temp table made as
select 'editor' as name, k.* from create_api_key(tests.tenant_id('acme'), 'CI', 'editor') k
union all select 'viewer', k.* from create_api_key(tests.tenant_id('acme'), 'CI', 'viewer') k
union all select 'short', k.* from create_api_key(tests.tenant_id('acme'), 'CI', 'viewer', now() + interval '2 days') k;
grant select on made to authenticated, service_role, anon;

create function pg_temp.hash(p_name text) returns text language sql as $$
  select encode(sha256(convert_to(secret, 'UTF8')), 'hex') from made where name = p_name
$$;
create function pg_temp.take(p_tenant text default 'acme') returns text language sql as $$
  select tests.error_of(format('select consume_quota(%L, %L)', tests.tenant_id(p_tenant), 'tokens'))
$$;

select tests.act_as_user('olga');
select is(tests.error_of($$ select authenticate_api_key(repeat('0', 64)) $$), '42501', 'no user asks whose a secret is');
select tests.act_as_service_role();
select is(tests.error_of($$ select authenticate_api_key('sk_live_x') $$), 'PT400 invalid_secret_hash', 'a secret is not sent');
select is(tests.error_of('select authenticate_api_key(null)'), 'PT400 invalid_secret_hash', 'a hash is needed');
select is_empty($$ select * from authenticate_api_key(repeat('0', 64)) $$, 'an unknown one is nobody''s');
select results_eq(
  $$ select * from authenticate_api_key(pg_temp.hash('editor')) $$,
  $$ select id, tests.tenant_id('acme'), 'editor'::public.member_role from made where name = 'editor' $$,
  'a known one is its key''s'
);

select tests.act_as_api_key((select id from made where name = 'editor'));
select is(pg_temp.take(), null, 'an editor''s key takes quota');
select is(pg_temp.take('rival'), 'PT403 permission_denied', 'of its own tenant');
select results_eq('select id from public.tenants', $$ select tests.tenant_id('acme') $$, 'and reads no other');
select is(tests.error_of($$ select create_tenant('Mine') $$), 'PT403 permission_denied', 'a key makes no tenant');
select tests.act_as_api_key((select id from made where name = 'viewer'));
select is(pg_temp.take(), 'PT403 permission_denied', 'a viewer''s key takes none');
select tests.act_as_api_key((select id from made where name = 'editor'), '{"iss": "https://elsewhere"}');
select is(pg_temp.take(), 'PT403 permission_denied', 'a token of another issuer is no key''s');
select tests.act_as_api_key((select id from made where name = 'editor'), jsonb_build_object('sub', gen_random_uuid()));
select is(pg_temp.take(), 'PT403 permission_denied', 'nor is one of a user');
select tests.act_as_user('olga', jsonb_build_object('user_metadata', jsonb_build_object('api_key', (select id from made limit 1))));
select is(pg_temp.take(), null, 'metadata changes nobody');

select tests.act_as_owner();
select results_eq(
  $$ select subject from private.quota_counters where tenant_id = tests.tenant_id('acme') and metric = 'tokens' $$,
  $$ values ('') $$, 'takes are counted for the tenant'
);
update public.tenants set clock_offset = '2 days' where id = tests.tenant_id('acme');
select is_empty($$ select * from authenticate_api_key(pg_temp.hash('short')) $$, 'an expired key is nobody''s');
select tests.act_as_api_key((select id from made where name = 'short'));
select is_empty('select from public.tenants', 'even by a token made before');

select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select is_empty($$ select * from authenticate_api_key(pg_temp.hash('editor')) $$, 'a suspended tenant has no key');
select tests.act_as_api_key((select id from made where name = 'editor'));
select is(pg_temp.take(), 'PT403 permission_denied', 'at all');

select tests.act_as_owner();
update public.tenants set status = 'active' where id = tests.tenant_id('acme');
select revoke_api_key((select id from made where name = 'editor'));
select is_empty($$ select * from authenticate_api_key(pg_temp.hash('editor')) $$, 'a revoked key is nobody''s');
select tests.act_as_api_key((select id from made where name = 'editor'));
select is(pg_temp.take(), 'PT403 permission_denied', 'at once');

select tests.act_as_owner();
select authenticate_api_key(pg_temp.hash('viewer')) from generate_series(1, 3);
delete from public.audit_events;
select private.fold_api_key_uses();
select private.fold_api_key_uses();
select results_eq(
  'select m.name, k.request_count, k.last_used_at = now() from made m join public.api_keys k using (id) order by 1',
  $$ values ('editor', 1::bigint, true), ('short', 0, null), ('viewer', 3, true) $$,
  'each use is counted once, with the last'
);
select is_empty('select from public.audit_events', 'uses are not audited');

select * from finish();
rollback;
