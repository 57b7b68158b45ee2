begin;
select plan(10);

select tests.create_user(name) from unnest(array['olga', 'root', 'gone']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root')), (tests.user_id('gone'));
insert into public.user_suspensions (user_id, reason) values (tests.user_id('gone'), 'Left');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
create temp table keys as select (create_api_key(tests.tenant_id('acme'), 'Key', 'owner')).id;
grant select on keys to authenticated;
create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select grant_credits(tests.tenant_id('acme'), 1, 'gift') $q$)
$$;

select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin grants');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'so does the service role');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'an owner does not');
select is(
  tests.error_of($$ select grant_credits(gen_random_uuid(), 1, 'gift') $$), 'PT403 platform_admin_only', 'nor learns which tenants exist'
);
select tests.act_as_user('olga', '{"role": "service_role", "app_metadata": {"role": "platform_admin"}}');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor with forged claims');
select tests.act_as_api_key((select id from keys));
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor an owner''s API key');
select tests.act_as_user('gone');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor a platform admin who is suspended');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'nor anon');
select tests.act_as_owner();
select is((select balance from private.credit_accounts), 2::bigint, 'who was refused gave nothing');
select is((select count(*) from public.credit_ledger), 2::bigint, 'at all');

select * from finish();
rollback;
