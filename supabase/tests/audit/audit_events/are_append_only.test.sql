begin;
select plan(13);

select tests.create_user(name) from unnest(array['ann', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table key as select id from create_api_key(tests.tenant_id('acme'), 'CI', 'owner');
grant select on key to authenticated;
create temp table before as select e.* from public.audit_events e;

-- What would change events, in the table and in each of its partitions, and the chain and what belongs to it.
create temp table statements as
select format(s, t) as s
from (
  select 'public.audit_events' union all
  select inhrelid::regclass::text from pg_inherits where inhparent = 'public.audit_events'::regclass
) as tables (t), unnest(array[
  $$ insert into %s (event_type, action, actor_type) values ('x', 'x', 'system') $$,
  $$ update %s set severity = 'info' $$, 'update %s set ip_address = null', 'delete from %s', 'truncate %s'
]) s
union all
select format(s, t)
from unnest(array['private.audit_chain', 'private.audit_unsealed', 'private.audit_heads']) t,
  unnest(array['update %s set tenant_id = tenant_id', 'delete from %s', 'truncate %s', 'select from %s']) s
union all
select * from unnest(array[
  'update private.audit_retention set events_since = now()',
  'insert into public.audit_resolutions (event_id, occurred_at) values (gen_random_uuid(), now())',
  'update public.audit_resolutions set note = null', 'delete from public.audit_resolutions',
  'truncate public.audit_resolutions', 'alter table public.audit_events disable row level security',
  $$ select private.audit(tests.tenant_id('acme'), 'x', 'x') $$, 'select private.seal_audit_events()',
  'select private.write_audit_event(null)'
]);
grant select on statements to anon, authenticated, service_role;
create function pg_temp.possible() returns setof text language sql as $$
  select s from statements
  where tests.error_of(s) is distinct from '42501'
$$;

select is(
  (select count(*) from statements where s like '%private.audit_events_y%'),
  5 * (select count(*) from pg_inherits where inhparent = 'public.audit_events'::regclass),
  'of the statements that would change what happened, in each month as well'
);
select tests.act_as_user('ann');
select is_empty('select pg_temp.possible()', 'an owner may none');
select isnt_empty('select from public.audit_events', 'but read');
select tests.act_as_user('ann', '{"role": "service_role"}');
select is_empty('select pg_temp.possible()', 'nor with a forged claim');
select tests.act_as_user('root');
select is_empty('select pg_temp.possible()', 'nor may a platform admin');
select isnt_empty('select from public.audit_events', 'but read');
select tests.act_as_api_key((select id from key));
select is_empty('select pg_temp.possible()', 'nor an API key');
select tests.act_as_service_role();
select is_empty('select pg_temp.possible()', 'nor the service role');
select isnt_empty('select from public.audit_events', 'but read');
select tests.act_as_anon();
select is_empty('select pg_temp.possible()', 'nor anon');
select throws_ok('select from public.audit_events', '42501', null, 'who does not read, either');
select tests.act_as_owner();
select set_eq('select e.* from public.audit_events e', 'select * from before', 'so every event is what it was');
select set_has(
  'select s from statements', $$ values ('truncate public.audit_events'), ('delete from public.audit_events') $$, 'also all of them'
);

select * from finish();
rollback;
