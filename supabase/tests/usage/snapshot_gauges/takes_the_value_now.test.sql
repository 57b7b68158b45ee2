begin;
select plan(15);

select tests.create_user(name) from unnest(array['olga', 'vic', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.create_tenant('rival', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('rival');
create function pg_temp.gauges(p_tenant text)
returns table (metric text, period_type text, period_start timestamptz, quantity numeric) language sql as $$
  select metric, period_type, period_start, quantity from public.tenant_metric_usage where tenant_id = tests.tenant_id(p_tenant)
$$;
create function pg_temp.in_each(p_at timestamptz, p_gauges jsonb)
returns table (metric text, period_type text, period_start timestamptz, quantity numeric) language sql as $$
  select key, type, date_trunc(field, p_at, 'UTC'), value::numeric
  from jsonb_each_text(p_gauges), (values ('daily', 'day'), ('monthly', 'month')) as p (type, field)
$$;

select consume_quota(tests.tenant_id('acme'), 'workflows', 3);
select consume_quota(tests.tenant_id('acme'), 'connectors', 2);
select consume_quota(tests.tenant_id('acme'), 'team_members', 9);
select consume_quota(tests.tenant_id('acme'), 'tokens', 5);
select consume_quota(tests.tenant_id('rival'), 'workflows', 7);
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
values (tests.tenant_id('acme'), 'workflows', 'none', 'someone', '-infinity', 50),
  (tests.tenant_id('acme'), 'seats', 'month', '', now(), 8);
select private.snapshot_gauges();
select bag_eq(
  $$ select * from pg_temp.gauges('acme') $$,
  $$ select * from pg_temp.in_each(now(), '{"team_members": 2, "workflows": 3, "connectors": 2}') $$,
  'what the quota of each has, members as well'
);
select bag_eq(
  $$ select * from pg_temp.gauges('rival') $$,
  $$ select * from pg_temp.in_each(now() + interval '40 days', '{"team_members": 1, "workflows": 7}') $$, 'by the tenant''s clock'
);

select consume_quota(tests.tenant_id('acme'), 'workflows', 1);
delete from public.memberships where user_id = tests.user_id('vic');
update private.quota_counters set used = 0 where metric = 'connectors';
select private.snapshot_gauges(array[tests.tenant_id('rival')]);
select is(
  (select quantity from pg_temp.gauges('acme') where metric = 'workflows' and period_type = 'daily'), 3::numeric,
  'of the tenants that are asked for'
);
select private.snapshot_gauges();
select bag_eq(
  $$ select * from pg_temp.gauges('acme') $$,
  $$ select * from pg_temp.in_each(now(), '{"team_members": 1, "workflows": 4, "connectors": 0}') $$,
  'the last value stays, more or less'
);
update public.tenants set clock_offset = '400 days' where id = tests.tenant_id('acme');
select private.snapshot_gauges();
select is(
  (select count(*) from pg_temp.gauges('acme') where metric = 'workflows'), 4::bigint, 'each day and month has its own'
);
set local session_replication_role = replica; -- nothing else lets a clock go back
update public.tenants set clock_offset = '0' where id = tests.tenant_id('acme');
set local session_replication_role = origin;

select consume_quota(tests.tenant_id('acme'), 'workflows', 1);
select consume_quota(tests.tenant_id('rival'), 'workflows', 1);
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "search"}]');
select aggregate_usage_metrics();
select is(
  (select quantity from pg_temp.gauges('acme')
   where metric = 'workflows' and period_type = 'daily' and period_start <= now()), 5::numeric,
  'a pass takes those of its tenants'
);
select is(
  (select quantity from pg_temp.gauges('rival') where metric = 'workflows' and period_type = 'daily'), 7::numeric,
  'and of no others'
);
create temp table before as select * from pg_temp.gauges('acme');
update public.tenant_metric_usage set quantity = 77 where metric = 'workflows';
select recompute_usage_metrics('-infinity', 'infinity');
select is((select count(*) from pg_temp.gauges('acme') where quantity = 77), 4::bigint, 'what existed cannot be counted anew');
select tests.act_as_service_role();
select is(tests.error_of('select private.snapshot_gauges()'), '42501', 'no API role takes them');
select is((select quantity from get_top_consumers('workflows', 'daily', 1)), 77::numeric, 'they are read as they are');
select is((select quantity from get_top_consumers('workflows', 'hourly', 1)), null, 'but not by the hour');
select is(
  (select count(*) from public.tenant_usage_metrics where tenant_id = tests.tenant_id('rival')), 0::bigint, 'and are no usage'
);

select tests.act_as_owner();
select tests.create_tenant('empty', 'pro');
delete from public.memberships where user_id = tests.user_id('vic');
select private.snapshot_gauges();
select is_empty($$ select * from pg_temp.gauges('empty') $$, 'a tenant that never had a gauge has none');
select bag_eq(
  $$ select period_type, quantity from pg_temp.gauges('acme') where metric = 'team_members' and period_start <= now() $$,
  $$ values ('daily', 1::numeric), ('monthly', 1) $$, 'who left is counted no more'
);
select is_empty(
  $$ select from public.tenant_metric_usage where metric = 'team_members' and period_type = 'hourly' $$, 'at no hour'
);

select * from finish();
rollback;
