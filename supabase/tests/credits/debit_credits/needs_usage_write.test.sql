begin;
select plan(18);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root', 'sue']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('acme', 'sue', 'editor');
select tests.add_member('rival', 'bob', 'owner');
insert into public.user_suspensions (user_id, reason) values (tests.user_id('sue'), 'Spam');
select grant_credits(tests.tenant_id(t), 100, 'gift') from unnest(array['acme', 'rival']) t;
create temp table keys as
select t || ' ' || role as name, (create_api_key(tests.tenant_id(t), role::text, role)).id
from (values ('acme', 'editor'::public.member_role), ('acme', 'viewer'), ('rival', 'owner')) as k (t, role);

create function pg_temp.fault() returns text language sql as $$
  select tests.error_of($q$ select debit_credits(tests.tenant_id('acme'), 1, 'work') $q$)
$$;
grant select on keys to authenticated, service_role;

select tests.act_as_user('olga');
select is(pg_temp.fault(), null, 'an owner has it');
select tests.act_as_user('adam');
select is(pg_temp.fault(), null, 'an admin has it');
select tests.act_as_user('edit');
select is(pg_temp.fault(), null, 'an editor has it');
select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin has it');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role has it');
select tests.act_as_api_key((select id from keys where name = 'acme editor'));
select is(pg_temp.fault(), null, 'an editor''s API key has it');
select tests.act_as_api_key((select id from keys where name = 'acme viewer'));
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer''s lacks it');
select tests.act_as_api_key((select id from keys where name = 'rival owner'));
select is(pg_temp.fault(), 'PT403 permission_denied', 'and another tenant''s');
select tests.act_as_api_key((select id from keys where name = 'rival owner'), jsonb_build_object('tenant_id', tests.tenant_id('acme')));
select is(pg_temp.fault(), 'PT403 permission_denied', 'whatever it says');
select tests.act_as_user('vic');
select is(pg_temp.fault(), 'PT403 permission_denied', 'a viewer lacks it');
select tests.act_as_user('vic', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_user('sue');
select is(pg_temp.fault(), 'PT403 permission_denied', 'who is suspended lacks it');
select tests.act_as_user('bob');
select is(pg_temp.fault(), 'PT403 permission_denied', 'another tenant''s owner lacks it');
select is(
  tests.error_of($$ select debit_credits(gen_random_uuid(), 1, 'work') $$), 'PT403 permission_denied', 'and does not learn which tenants exist'
);
select tests.act_as_anon();
select is(pg_temp.fault(), '42501', 'anon may not call');
select tests.act_as_owner();
select results_eq(
  $$ select t.name, a.balance from private.credit_accounts a join public.tenants t on t.id = a.tenant_id order by 1 $$,
  $$ values ('acme', 94::bigint), ('rival', 100) $$, 'who was refused took nothing'
);
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 permission_denied', 'in a suspended tenant nobody has it');
select tests.act_as_api_key((select id from keys where name = 'acme editor'));
select is(pg_temp.fault(), 'PT403 permission_denied', 'no key either');

select * from finish();
rollback;
