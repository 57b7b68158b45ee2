begin;
select plan(22);

select tests.create_user(name) from unnest(array['olga', 'vic', 'bob', 'eve', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select record_usage(tests.tenant_id(name), '[{"event_id": "a", "event_type": "search", "tokens_consumed": 5}]')
from unnest(array['acme', 'rival']) name;
select aggregate_usage_metrics();
prepare seen as select tenant_id from public.tenant_usage_metrics;
-- The statements that would write, of which each is refused.
create function pg_temp.allowed() returns text language sql as $$
  select string_agg(statement, '; ') from unnest(array[
    'insert into public.tenant_usage_metrics select * from public.tenant_usage_metrics',
    'update public.tenant_usage_metrics set total_tokens_used = 0', 'delete from public.tenant_usage_metrics',
    'truncate public.tenant_usage_metrics'
  ]) statement where tests.error_of(statement) is distinct from '42501'
$$;
-- What the private tables show of it.
create function pg_temp.peeks() returns text language sql as $$
  select string_agg(name, ' ') from unnest(array['usage_rollups', 'chat_sessions', 'usage_retention', 'usage_batches']) name
  where tests.error_of('select from private.' || name) is distinct from '42501'
$$;

select tests.act_as_user('vic');
select set_eq('seen', array[tests.tenant_id('acme')], 'a viewer reads their tenant''s');
select is_empty(
  $$ select from public.tenant_usage_metrics where tenant_id = tests.tenant_id('rival') $$, 'and no other''s, by name'
);
select matches(tests.plan_of('select * from public.tenant_usage_metrics'), 'InitPlan', 'of which the policy asks once per query');
select is(pg_temp.allowed(), null, 'but writes nothing');
select is(pg_temp.peeks(), null, 'and sees nothing beneath');
select tests.act_as_user('olga');
select set_eq('seen', array[tests.tenant_id('acme')], 'an owner reads it');
select is(pg_temp.allowed(), null, 'but writes nothing');
select tests.act_as_user('bob');
select set_eq('seen', array[tests.tenant_id('rival')], 'another tenant''s owner reads that tenant''s');
select tests.act_as_user('eve');
select is_empty('seen', 'a stranger reads none');
select tests.act_as_user('eve', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select is(pg_temp.allowed(), null, 'nor writes');
select tests.act_as_user('root');
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'a platform admin reads all');
select is(pg_temp.allowed(), null, 'but writes nothing');
select tests.act_as_service_role();
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'so does the service role');
select is(pg_temp.allowed(), null, 'which writes nothing, either');
select is(pg_temp.peeks(), null, 'and sees nothing beneath');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon reads none');
select is(pg_temp.allowed(), null, 'and writes nothing');
select is(pg_temp.peeks(), null, 'and sees nothing beneath');
select tests.act_as_owner();
select is((select count(distinct tenant_id) from public.tenant_usage_metrics), 2::bigint, 'all is as it was');
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('olga');
select is_empty('seen', 'a suspended tenant''s owner reads none');
select tests.act_as_owner();
select throws_ok(
  'update public.tenant_usage_metrics set period_type = ''weekly''', '23514', null, 'periods are hours, days and months'
);

select * from finish();
rollback;
