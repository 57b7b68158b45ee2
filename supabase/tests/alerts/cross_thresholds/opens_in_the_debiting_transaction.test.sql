begin;
select plan(29);

select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex', 'initech']) t;
update public.alert_rules set enabled = false;
insert into public.alert_rules (tenant_id, name, type) select tests.tenant_id(t), 'usage', 'usage_threshold' from unnest(array['acme', 'initech']) t;
insert into public.alert_channels (tenant_id, type, name) values (tests.tenant_id('acme'), 'console', 'c');
select set_custom_quota(tests.tenant_id('acme'), m, l, p) from (values
  ('executions', 100, 'month'::public.quota_period), ('run_minutes', 100, 'month'), ('analysis_runs', 100, 'day')
) limits (m, l, p);
create function pg_temp.crossed() returns text language sql as $$
  select string_agg(concat_ws(' ', t.name, a.data ->> 'metric', a.data ->> 'period', a.data ->> 'threshold'), ', ' order by a.dedup_key)
  from public.alerts a join public.tenants t on t.id = a.tenant_id
$$;
create function pg_temp.next_of(p_metric text, p_period public.quota_period default 'day') returns numeric language sql as $$
  select next_threshold from private.quota_counters where tenant_id = tests.tenant_id('acme') and metric = p_metric and period = p_period and subject = ''
$$;

-- consume_quota
select consume_quota(tests.tenant_id('acme'), 'tokens', 7999);
select is(pg_temp.crossed(), null, 'below 80 % nothing is crossed');
select is(pg_temp.next_of('tokens'), 80::numeric, 'and the next threshold is known');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select is(pg_temp.crossed(), 'acme tokens day 80', 'at 80 % it is, by the take itself');
select is((select (status, severity, opened_at = now())::text from public.alerts), '(open,medium,t)', 'and its alert is open');
select is((select payload ->> 'event' from public.alert_notifications), 'opened', 'and told');
select is(pg_temp.next_of('tokens'), 95::numeric, 'the next one is waited for');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1499);
select is((select count(*) from public.alerts), 1::bigint, 'below 95 % nothing more');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select set_eq('select severity::text from public.alerts', array['medium', 'critical'], 'at 95 % the second step');
select is(pg_temp.next_of('tokens'), null, 'after which nothing is waited for');
select consume_quota(tests.tenant_id('acme'), 'tokens', 500);
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select is((select count(*) from public.alerts), 2::bigint, 'each opens once');
select is((select count(*) from public.alert_notifications), 2::bigint, 'and is told once');
select is((select opened from evaluate_alert_rules()), 0, 'a pass sees nothing new');

-- A denial takes nothing.
select consume_quota(tests.tenant_id('acme'), 'embeddings', 39);
select consume_quota(tests.tenant_id('acme'), 'embeddings', 12);
select is_empty($$ select from public.alerts where data ->> 'metric' = 'embeddings' $$, 'what is denied crosses nothing');
delete from public.alerts;

-- The other ways to take.
select consume_quota_batch(tests.tenant_id('acme'), 'embeddings', array[1, 20]);
select is(pg_temp.crossed(), 'acme embeddings day 80', 'a batch, by what fits of it');
delete from public.alerts;
select consume_quota_batch(tests.tenant_id('acme'), 'chat_messages', array[50, 49]);
select set_eq($$ select data ->> 'threshold' from public.alerts $$, array['80', '95'], 'one that passes both steps opens both');
delete from public.alerts;
select consume_quota_batches(jsonb_build_array(
  jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'metric', 'executions', 'amounts', '[80]'::jsonb),
  jsonb_build_object('tenant_id', tests.tenant_id('initech'), 'metric', 'embeddings', 'amounts', '[40]'::jsonb),
  jsonb_build_object('tenant_id', tests.tenant_id('globex'), 'metric', 'embeddings', 'amounts', '[40]'::jsonb)
));
select set_eq(
  $$ select tenant_id, data ->> 'metric' as metric, data ->> 'period' as period from public.alerts $$,
  $$ values (tests.tenant_id('acme'), 'executions', 'month'), (tests.tenant_id('initech'), 'embeddings', 'day') $$,
  'a batch of several, of a month too, each for its tenant, where it has a rule'
);
delete from public.alerts;
select consume_quotas(tests.tenant_id('acme'), '[{"metric": "run_minutes", "amount": 80}, {"metric": "analysis_runs", "amount": 79}]');
select is(pg_temp.crossed(), 'acme run_minutes month 80', 'items that are taken together');
select consume_quotas(tests.tenant_id('acme'), '[{"metric": "run_minutes", "amount": 15}, {"metric": "analysis_runs", "amount": 22}]');
select is(pg_temp.crossed(), 'acme run_minutes month 80', 'or not at all');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, idempotency_key => 'k');
select set_eq($$ select data ->> 'metric' from public.alerts $$, array['analysis_runs', 'run_minutes'], 'a take with a key');
delete from public.alerts;

-- Reservations.
delete from private.quota_counters;
create temp table held as select * from reserve_quota(tests.tenant_id('acme'), 'executions', 79);
select is(pg_temp.crossed(), null, 'a reservation that is small enough crosses nothing');
select extend_reservation(reservation_id, 1) from held;
select is(pg_temp.crossed(), 'acme executions month 80', 'its extension does');
select settle_reservation(reservation_id, 94) from held;
select is((select count(*) from public.alerts), 1::bigint, 'settling it with more');
create temp table more as select * from reserve_quota(tests.tenant_id('acme'), 'executions', 1);
select is((select max(data ->> 'threshold') from public.alerts), '95', 'another reservation');
delete from public.alerts;
select settle_reservation(r.reservation_id, 300) from reserve_quota(tests.tenant_id('acme'), 'run_minutes', 1) r;
select set_eq(
  $$ select data ->> 'threshold' as threshold, data #>> '{usage,current}' as used, data #>> '{usage,percentage}' as percentage from public.alerts $$,
  $$ values ('80', '300', '300'), ('95', '300', '300') $$, 'settled beyond the limit, it crosses both'
);
delete from public.alerts;

-- A table that is attached, to a counter.
delete from private.quota_counters;
create table public.jobs (id int primary key, tenant_id uuid, size int);
select meter.attach('public.jobs', 'analysis_runs', 'size', subject => '''''');
insert into public.jobs values (1, tests.tenant_id('acme'), 79);
select is(pg_temp.crossed(), null, 'a row of an attached table that is small enough');
insert into public.jobs values (2, tests.tenant_id('acme'), 1), (3, tests.tenant_id('globex'), 99);
select is(pg_temp.crossed(), 'acme analysis_runs day 80', 'and one that crosses');
delete from public.alerts;

-- Rolled back with it.
do $$
begin
  perform public.consume_quota(tests.tenant_id('acme'), 'chat_messages', 80);
  if not exists (select from public.alerts) then
    raise 'no alert';
  end if;
  raise exception using errcode = 'UNDO0';
exception when sqlstate 'UNDO0' then
  null;
end
$$;
select is(pg_temp.crossed(), null, 'what is rolled back leaves no alert');
select consume_quota(tests.tenant_id('acme'), 'chat_messages', 30);
select is(pg_temp.crossed(), null, 'and has crossed nothing');
select consume_quota(tests.tenant_id('acme'), 'chat_messages', 30), consume_quota(tests.tenant_id('acme'), 'chat_messages', 20);
select is(pg_temp.crossed(), 'acme chat_messages day 80', 'what is taken again does');

select * from finish();
rollback;
