begin;
select plan(66);

-- The same for rules and channels: who may read, add, change and delete acme's, globex' and the operator's.
select tests.create_user(u) from unnest(array['viewer', 'editor', 'admin', 'owner', 'stranger', 'suspended', 'root']) u;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', r::text, r) from unnest(enum_range(null::public.member_role)) r;
select tests.add_member('acme', 'suspended', 'owner'), tests.add_member('globex', 'stranger', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select suspend_user(tests.user_id('suspended'), 'Fraud.');
create temp table keys as
select 'key of ' || r as actor, (create_api_key(tests.tenant_id('acme'), r, r::public.member_role)).id from unnest(array['viewer', 'admin']) r;
delete from public.alert_rules;
insert into public.alert_rules (tenant_id, name, type) values
  (tests.tenant_id('acme'), 'acme', 'usage_threshold'), (tests.tenant_id('globex'), 'globex', 'usage_threshold'), (null, 'operator', 'usage_threshold');
insert into public.alert_channels (tenant_id, type, name) values
  (tests.tenant_id('acme'), 'console', 'acme'), (tests.tenant_id('globex'), 'console', 'globex'), (null, 'console', 'operator');
create function pg_temp.act_as(p_actor text) returns void language plpgsql as $$
declare
  v_key uuid := (select id from keys where actor = p_actor);
begin
  case
    when p_actor = 'anon' then perform tests.act_as_anon();
    when p_actor = 'service role' then perform tests.act_as_service_role();
    when v_key is not null then perform tests.act_as_api_key(v_key);
    when p_actor = 'forger' then
      perform tests.act_as_user('stranger', jsonb_build_object('role', 'service_role', 'tenant_id', tests.tenant_id('acme'), 'api_key', (select id from keys limit 1)));
    else perform tests.act_as_user(p_actor);
  end case;
end
$$;
-- Of which owners an actor's statement touched rows; nothing of it stays.
create function pg_temp.touched(p_actor text, p_statement text) returns text language plpgsql as $$
declare
  v_names text;
begin
  perform pg_temp.act_as(p_actor);
  execute format('with r as (%s) select string_agg(distinct name, '' '' order by name) from r', p_statement) into v_names;
  raise exception using errcode = 'UNDO0', message = coalesce(v_names, '');
exception when sqlstate 'UNDO0' then
  return sqlerrm;
when insufficient_privilege then
  return 'refused';
end
$$;
create function pg_temp.adds(p_actor text, p_table text) returns text language sql as $$
  select string_agg(pg_temp.touched(p_actor, format(
    'insert into public.%s (tenant_id, name, type) values (%L, %L, %L) returning name', p_table, tests.tenant_id(nullif(t, 'operator')), t,
    case p_table when 'alert_rules' then 'usage_threshold' else 'console' end
  )), ' ') from unnest(array['acme', 'globex', 'operator']) t
$$;
create temp table expected (actor text, reads text, adds text, changes text, deletes text);
insert into expected values
  ('anon', 'refused', 'refused refused refused', 'refused', 'refused'),
  ('viewer', 'acme', 'refused refused refused', '', ''), ('editor', 'acme', 'refused refused refused', '', ''),
  ('admin', 'acme', 'acme refused refused', 'acme', 'acme'), ('owner', 'acme', 'acme refused refused', 'acme', 'acme'),
  ('key of viewer', 'acme', 'refused refused refused', '', ''), ('key of admin', 'acme', 'acme refused refused', 'acme', 'acme'),
  ('suspended', '', 'refused refused refused', '', ''), ('stranger', 'globex', 'refused globex refused', 'globex', 'globex'),
  ('forger', 'globex', 'refused globex refused', 'globex', 'globex'),
  ('root', 'acme globex operator', 'acme globex operator', 'acme globex operator', 'acme globex operator'),
  ('service role', 'acme globex operator', 'acme globex operator', 'acme globex operator', 'acme globex operator');

select is(
  array[
    pg_temp.touched(e.actor, format('select name from public.%s', t)), pg_temp.adds(e.actor, t),
    pg_temp.touched(e.actor, format('update public.%s set enabled = false returning name', t)),
    pg_temp.touched(e.actor, format('delete from public.%s returning name', t))
  ],
  array[e.reads, e.adds, e.changes, e.deletes], format('%s with %s', e.actor, t)
)
from expected e, unnest(array['alert_rules', 'alert_channels']) t order by t, e.actor;

-- Nobody moves one to another tenant, or makes it another's kind.
select is(pg_temp.touched(a, format('update public.%s set %s = %s returning name', t, c, c)), 'refused', format('%s writes no %s of %s', a, c, t))
from unnest(array['admin', 'root', 'service role']) a,
  (values ('alert_rules', 'tenant_id'), ('alert_rules', 'type'), ('alert_rules', 'id'), ('alert_channels', 'tenant_id'), ('alert_channels', 'type'),
    ('alert_channels', 'id'), ('alert_channels', 'disabled_reason'), ('alert_channels', 'is_from_environment'), ('alert_channels', 'secret_rotated_at')) columns (t, c);
select is(
  pg_temp.touched('admin', $$ insert into public.alert_channels (tenant_id, name, type, is_from_environment) values (tests.tenant_id('acme'), 'x', 'console', true) returning name $$),
  'refused', 'nor makes one of the environment''s'
);
select is(
  pg_temp.touched('admin', $$ insert into public.alert_channels (id, tenant_id, name, type) values (gen_random_uuid(), tests.tenant_id('acme'), 'x', 'console') returning name $$),
  'refused', 'nor chooses an id'
);
-- Without reading it back either.
select tests.act_as_user('admin');
select is(
  tests.error_of(format('insert into public.%s (tenant_id, name, type) values (%L, %L, %L)', t, tests.tenant_id(n), 'x', case t when 'alert_rules' then 'usage_threshold' else 'console' end)),
  '42501', format('an admin adds none of %s to %s', t, coalesce(n, 'the operator'))
)
from unnest(array['alert_rules', 'alert_channels']) t, unnest(array['globex', null]) n;
select tests.act_as_owner();
-- What a suspended tenant has stays as it is.
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select is(pg_temp.touched('owner', 'select name from public.alert_rules'), '', 'in a suspended tenant nobody reads rules');
select is(pg_temp.touched('owner', 'delete from public.alert_rules returning name'), '', 'nor deletes them');

-- Changes are recorded, without what is secret.
select tests.act_as_owner();
update public.tenants set status = 'active';
select tests.act_as_user('admin');
insert into public.alert_channels (tenant_id, name, type, config) values (tests.tenant_id('acme'), 'pager', 'pagerduty', '{"routing_key": "R0123456789abcdef"}');
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'audited', 'cost_spike');
update public.alert_rules set threshold = 5 where name = 'audited';
delete from public.alert_rules where name = 'audited';
select tests.act_as_owner();
select results_eq(
  $$ select event_type, actor_id from public.audit_events where tenant_id = tests.tenant_id('acme') and event_type ~ '^alert_rule' and coalesce(new_values, old_values) ->> 'name' = 'audited' or event_type = 'alert_rule_updated' and entity_id is not null and new_values ->> 'threshold' = '5' order by 1 $$,
  $$ select e, tests.user_id('admin')::text from unnest(array['alert_rule_created', 'alert_rule_deleted', 'alert_rule_updated']) e $$, 'each change is recorded'
);
select is(
  (select count(*) from public.audit_events e where event_type ~ '^alert_channel' and to_jsonb(e)::text ~ 'R0123456789abcdef'), 0::bigint, 'and no secret with it'
);
select results_eq(
  $$ select actor_id, new_values ? 'config', personal is not null from public.audit_events where event_type = 'alert_channel_created' and new_values ->> 'name' = 'pager' $$,
  $$ values (tests.user_id('admin')::text, false, true) $$, 'a channel''s config is personal: it has addresses'
);
-- Updates say when.
update public.alert_rules set updated_at = '2020-01-01'; update public.alert_channels set updated_at = '2020-01-01';
select results_eq(
  $$ select distinct updated_at from public.alert_rules union select updated_at from public.alert_channels $$, $$ values (now()) $$, 'each says when it was changed'
);
select is((select count(*) from public.alert_rule_types), 21::bigint, 'there are so many types');
select tests.act_as_user('stranger');
select is((select count(*) from public.alert_rule_types), 21::bigint, 'which every user reads');
select is(tests.error_of('update public.alert_rule_types set threshold = 0'), '42501', 'and none writes');

select * from finish();
rollback;
