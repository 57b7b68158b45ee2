begin;
select plan(27);

select tests.create_user('olga');
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner');
create temp table channels as
with made as (
  insert into public.alert_channels (tenant_id, type, name)
  values (tests.tenant_id('acme'), 'console', 'acme'), (tests.tenant_id('globex'), 'console', 'globex'), (null, 'console', 'operator')
  returning id, name
)
select * from made;
grant select on channels to authenticated;
create function pg_temp.fault(p_more jsonb default '{}', p_tenant text default 'acme') returns text language plpgsql as $$
declare
  v_rule jsonb := jsonb_build_object('tenant_id', tests.tenant_id(p_tenant), 'name', 'r', 'type', 'usage_threshold') || p_more;
begin
  return tests.error_of(format(
    'insert into public.alert_rules (%1$s) select %1$s from jsonb_populate_record(null::public.alert_rules, %2$L)',
    (select string_agg(k, ', ') from jsonb_object_keys(v_rule) k), v_rule
  ));
end
$$;
create function pg_temp.telling(p_names text[]) returns jsonb language sql as $$
  select jsonb_build_object('channel_ids', array(select id from channels where name = any (p_names)))
$$;

select tests.act_as_user('olga');
select is(pg_temp.fault(jsonb_build_object('type', t)), null, t || ' is a tenant''s to watch')
from unnest(array[
  'execution_failure', 'rate_limit_breach', 'quota_warning', 'usage_threshold', 'overage_detected', 'payment_failed', 'cost_spike', 'usage_anomaly'
]) t;
select is(
  (select count(*) from public.alert_rule_types where not is_of_tenants and pg_temp.fault(jsonb_build_object('type', type)) = 'PT400 invalid_alert_rule'), 13::bigint,
  'all other types are the operator''s'
);
select is(pg_temp.fault('{"type": "weather"}'), '23503', 'an unknown type is none');
select is(pg_temp.fault('{"metric": "weather"}'), '23503', 'nor is an unknown metric');
select is(pg_temp.fault(pg_temp.telling('{acme}')), null, 'a rule tells channels of its tenant');
select is(pg_temp.fault(pg_temp.telling('{acme,globex}')), 'PT400 invalid_alert_rule', 'of another''s none');
select is(pg_temp.fault(pg_temp.telling('{operator}')), 'PT400 invalid_alert_rule', 'nor of the operator''s');
select is(pg_temp.fault('{"channel_ids": ["00000000-0000-0000-0000-000000000000"]}'), 'PT400 invalid_alert_rule', 'nor one that there is not');
select is(
  tests.error_of($$ update public.alert_rules set channel_ids = array(select id from channels where name = 'globex') where tenant_id is not null $$),
  'PT400 invalid_alert_rule', 'nor by a change'
);
select is(pg_temp.fault(jsonb_build_object('name', n)), f, 'a name has 1 to 100 characters: ' || length(n))
from (values ('', '23514'), (repeat('x', 100), null), (repeat('x', 101), '23514')) names (n, f);
select is(
  array[pg_temp.fault('{"threshold": -1}'), pg_temp.fault('{"threshold": 1000000000}'), pg_temp.fault('{"threshold": 1000000001}')], array['23514', null, '23514'],
  'a threshold is not negative, nor more than a billion'
);
select is(
  array[pg_temp.fault('{"type": "usage_anomaly", "window_minutes": 1440}'), pg_temp.fault('{"type": "usage_anomaly", "window_minutes": 1441}')], array[null, 'PT400 invalid_alert_rule'],
  'unusual usage is looked for in at most a day'
);
select is(
  array[pg_temp.fault('{"window_minutes": 0}'), pg_temp.fault('{"window_minutes": 1}'), pg_temp.fault('{"window_minutes": 44640}'), pg_temp.fault('{"window_minutes": 44641}')],
  array['23514', null, null, '23514'], 'a window has 1 minute to 31 days'
);
select is(
  array[pg_temp.fault('{"cooldown": "-1 second"}'), pg_temp.fault('{"cooldown": "31 days"}'), pg_temp.fault('{"cooldown": "32 days"}')],
  array['23514', null, '23514'], 'nor is a cooldown negative, or longer than 31 days'
);
select tests.act_as_owner();
insert into public.alert_channels (type, name) select 'console', 'many' from generate_series(1, 21);
select is(
  tests.error_of(format('insert into public.alert_rules (tenant_id, name, type, channel_ids)
    select tenant_id, ''r'', ''system_error'', (array_agg(id))[:%s] from public.alert_channels where name = ''many'' group by 1', n)), f,
  'a rule names at most 20 channels: ' || n
)
from (values (20, null), (21, '23514')) many (n, f);
insert into public.alert_rules (name, type, channel_ids) select 'o', 'system_error', array[id] from channels where name = 'operator';
select pass('the operator''s rules tell the operator''s channels');
select is(
  tests.error_of($$ insert into public.alert_rules (name, type, channel_ids) select 'o', 'system_error', array[id] from channels where name = 'acme' $$),
  'PT400 invalid_alert_rule', 'and no tenant''s'
);

select * from finish();
rollback;
