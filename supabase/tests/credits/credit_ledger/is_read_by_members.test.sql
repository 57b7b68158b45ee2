begin;
select plan(10);

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
prepare seen as select tenant_id, amount from public.credit_ledger;
prepare entry as select tests.tenant_id('acme'), 7::bigint;

select tests.act_as_user('vic');
select results_eq('seen', 'entry', 'a viewer reads their tenant''s entries');
select tests.act_as_api_key((select id from keys where name = 'acme'));
select results_eq('seen', 'entry', 'and their API key');
select tests.act_as_user('root');
select results_eq('seen', 'entry', 'a platform admin reads all');
select tests.act_as_service_role();
select results_eq('seen', 'entry', 'and the service role');
select tests.act_as_user('bob');
select is_empty('seen', 'another tenant''s owner reads none');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select tests.act_as_api_key((select id from keys where name = 'rival'));
select is_empty('seen', 'nor another tenant''s API key');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon reads none');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('vic');
select is_empty('seen', 'in a suspended tenant no member reads any');
select matches(
  tests.plan_of(format('select * from public.credit_ledger where tenant_id = %L order by effective_at desc, id desc limit 10', tests.tenant_id('acme'))),
  'credit_ledger_by_time', 'the last entries are found by index'
);

select * from finish();
rollback;
