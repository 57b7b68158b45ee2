begin;
select plan(20);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.create_tenant('lab', 'pro');
update public.tenants set is_test = true where id = tests.tenant_id('lab');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
create function pg_temp.make(p_role text, p_rest text default '') returns text language sql as $$
  select tests.error_of(format('select create_api_key(%L, %L, %L %s)', tests.tenant_id('acme'), 'CI', p_role, p_rest))
$$;

select is(private.crc32('123456789'::bytea), x'cbf43926'::bigint, 'the checksum is CRC-32, by its test vector');
select is(private.base62(61, 2) || private.base62(62, 2), '0z10', 'in base62');

select tests.act_as_user('edit');
select is(pg_temp.make('viewer'), 'PT403 permission_denied', 'an editor makes no key');
select tests.act_as_user('bob');
select is(pg_temp.make('viewer'), 'PT403 permission_denied', 'nor does a stranger');
select tests.act_as_user('adam');
select is(pg_temp.make('owner'), 'PT403 role_above_own', 'an admin makes no owner''s key');
select is(pg_temp.make(null), 'PT400 invalid_role', 'a role is needed');
select is(pg_temp.make('admin', $$, now()$$), 'PT400 invalid_expiry', 'an expiry lies ahead');
select is(
  tests.error_of(format('select create_api_key(%L, %L, %L)', tests.tenant_id('acme'), ' ', 'viewer')), 'PT400 invalid_name',
  'a name is needed'
);
select is(pg_temp.make('admin'), null, 'an admin makes an admin''s');
select tests.act_as_user('olga');
select is(pg_temp.make('owner', $$, now() + interval '1 day'$$), null, 'an owner an owner''s');

select tests.act_as_owner();
create temp table made as
select k.*, left(k.secret, 38) as body from generate_series(1, 300) i,
  lateral create_api_key(tests.tenant_id('acme'), 'many ' || i, 'viewer') k;
select is_empty($$ select secret from made where secret !~ '^sk_live_[0-9A-Za-z]{36}$' $$, 'a secret is sk_live_ and 36 characters');
select is_empty(
  $$ select secret from made where right(secret, 6) <> private.base62(private.crc32(convert_to(body, 'UTF8')), 6) $$,
  'the last six of which are the checksum of the rest'
);
select is((select count(distinct secret) from made), 300::bigint, 'no two are alike');
select is(
  (select count(distinct substr(secret, i, 1)) from made, generate_series(9, 38) i), 62::bigint, 'all 62 characters occur'
);
select ok(
  (select max(n) < 2 * min(n) from (
    select count(*) as n from made, generate_series(9, 38) i group by substr(secret, i, 1)) c),
  'about as often'
);
select matches(
  (select secret from create_api_key(tests.tenant_id('lab'), 'lab', 'viewer')), '^sk_test_', 'a test tenant''s is sk_test_'
);
select is_empty(
  $$ select from private.api_key_hashes h, made where h.secret_hash = convert_to(secret, 'UTF8') $$, 'no secret is stored'
);
select is(
  (select count(*) from private.api_key_hashes h, made where h.secret_hash = sha256(convert_to(secret, 'UTF8'))), 300::bigint,
  'their hashes are'
);
select is_empty(
  $$ select from public.api_keys k join made m on m.id = k.id where k.prefix <> left(m.secret, 12) $$,
  'the first twelve characters tell them apart'
);
select is_empty(
  $$ select from public.audit_events where entity_type = 'api_key' and new_values::text ~ 'sk_live_[0-9A-Za-z]{5}' $$,
  'no more is in the audit'
);

select * from finish();
rollback;
