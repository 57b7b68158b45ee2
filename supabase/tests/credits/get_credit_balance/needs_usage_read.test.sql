begin;
select plan(11);

select tests.create_user(name) from unnest(array['vic', 'bob', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
select grant_credits(tests.tenant_id('acme'), 7, 'gift');
create temp table keys as
select t as name, (create_api_key(tests.tenant_id(t), t, 'viewer')).id from unnest(array['acme', 'rival']) t;
grant select on keys to authenticated;
create function pg_temp.fault(p_tenant uuid default tests.tenant_id('acme')) returns text language sql as $$
  select tests.error_of(format('select get_credit_balance(%L)', p_tenant))
$$;

select tests.act_as_user('vic');
select is(get_credit_balance(tests.tenant_id('acme')), 7::bigint, 'a viewer has it');
select tests.act_as_api_key((select id from keys where name = 'acme'));
select is(get_credit_balance(tests.tenant_id('acme')), 7::bigint, 'and their API key');
select tests.act_as_user('root');
select is(get_credit_balance(tests.tenant_id('acme')), 7::bigint, 'a platform admin has it');
select tests.act_as_service_role();
select is(get_credit_balance(tests.tenant_id('acme')), 7::bigint, 'the service role has it');
select is(pg_temp.fault(gen_random_uuid()), 'PT404 tenant_not_found', 'but not of a tenant that is none');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select is(pg_temp.fault(gen_random_uuid()), 'PT403 permission_denied', 'and does not learn which tenants exist');
select tests.act_as_api_key((select id from keys where name = 'rival'));
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s API key lacks it');
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'in a suspended tenant no member has it');

select * from finish();
rollback;
