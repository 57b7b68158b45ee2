begin;
select plan(37);

update public.alert_rules set enabled = false;
select tests.create_user('olga');
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'olga', 'owner');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}');
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'fails', 'execution_failure', 0);
-- Failures of acme's in the hour before then.
create function pg_temp.fail(p_at interval) returns void language sql as $$
  insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, api_status_code, batch_id)
  values (tests.tenant_id('acme'), now() + p_at, gen_random_uuid(), 'execution', 500, 0)
$$;
select private.ensure_usage_partition(date_trunc('day', now(), 'UTC') + d * interval '24 hours') from generate_series(0, 3) d;
create function pg_temp.pass(p_at interval) returns text language sql as $$ select (opened, resolved)::text from evaluate_alert_rules(now() + p_at) $$;
create function pg_temp.state() returns text language sql as $$
  select string_agg(concat_ws(' ', status, occurrences, case when cleared_at is not null then 'cleared ' || (cleared_at - now())::text end), ', ' order by opened_at)
  from public.alerts where tenant_id = tests.tenant_id('acme')
$$;
create function pg_temp.told() returns text language sql as $$
  select string_agg(payload ->> 'event', ' ' order by created_at) from public.alert_notifications
$$;

select is(pg_temp.pass('0'), '(0,0)', 'nothing is seen');
select pg_temp.fail('0');
select is(pg_temp.pass('0'), '(1,0)', 'an episode begins with an alert');
select is(pg_temp.told(), 'opened', 'that is told');
select is(pg_temp.pass('1 minute'), '(0,0)', 'while the condition holds');
select is(pg_temp.state(), 'open 1', 'without new facts nothing changes');
select is(pg_temp.told(), 'opened', 'and nothing is told');
select pg_temp.fail('2 minutes');
select is(pg_temp.pass('3 minutes'), '(0,0)', 'new facts');
select is(pg_temp.state(), 'open 2', 'are an occurrence');
select results_eq(
  $$ select last_occurred_at - now(), opened_at - now(), message, data -> 'failures' from public.alerts $$,
  $$ values (interval '3 minutes', interval '0', 'Failed in the last 60 minutes: 2.', '2'::jsonb) $$, 'and what it says is as of then'
);
select is(pg_temp.told(), 'opened', 'which is not told again');
select is(pg_temp.pass('62 minutes'), '(0,1)', 'when the condition is over, it is resolved');
select is(pg_temp.state(), 'resolved 2 cleared 01:02:00', 'and cleared');
select results_eq(
  $$ select resolved_by, resolution_note, resolved_at from public.alerts $$,
  $$ values ('system', 'The condition is over.', now() + interval '62 minutes') $$, 'by itself'
);
select is(pg_temp.told(), 'opened resolved', 'which is told');
select is(pg_temp.pass('63 minutes'), '(0,0)', 'once');
select pg_temp.fail('64 minutes');
select is(pg_temp.pass('64 minutes'), '(1,0)', 'the next episode has an alert of its own');
select is(pg_temp.told(), 'opened resolved opened', 'that is told');
select is((select count(distinct dedup_key) from public.alerts), 1::bigint, 'about the same');

-- Acknowledged: still seen, still over by itself.
select tests.act_as_user('olga');
select is(acknowledge_alert(id), 1, 'somebody looks after it') from public.alerts where status = 'open';
select tests.act_as_owner();
select pg_temp.fail('65 minutes');
select pg_temp.pass('66 minutes');
select is(pg_temp.state(), 'resolved 2 cleared 01:02:00, acknowledged 2', 'what is acknowledged occurs as well');
select is(pg_temp.pass('3 hours'), '(0,1)', 'and is over by itself');
select is(pg_temp.told(), 'opened resolved opened acknowledged resolved', 'told in this order');

-- Resolved by hand while the condition holds.
delete from public.alerts;
delete from public.alert_notifications;
select pg_temp.fail('5 hours');
select pg_temp.pass('5 hours');
select tests.act_as_user('olga');
select is(resolve_alert(id, 'Known.'), 1, 'it is resolved by hand') from public.alerts;
select tests.act_as_owner();
select is(pg_temp.pass('5 hours 1 minute'), '(0,0)', 'while the condition holds, it does not open again');
select pg_temp.fail('5 hours 2 minutes');
select is(pg_temp.pass('5 hours 3 minutes'), '(0,0)', 'with new facts neither');
select is(pg_temp.state(), 'resolved 1', 'nor does it occur');
select is(pg_temp.pass('7 hours'), '(0,0)', 'the end of the condition is no resolution any more');
select is(pg_temp.state(), 'resolved 1 cleared 07:00:00', 'but ends the episode');
select results_eq(
  $$ select resolved_by, resolution_note from public.alerts $$, $$ values (tests.user_id('olga')::text, 'Known.') $$, 'who resolved it stays'
);
select is(pg_temp.told(), 'opened resolved', 'nothing is told twice');
select pg_temp.fail('8 hours');
select is(pg_temp.pass('8 hours'), '(1,0)', 'the next episode opens');

-- A cooldown is counted from the end of the episode.
update public.alert_rules set cooldown = '2 hours' where tenant_id is not null;
select is(pg_temp.pass('10 hours'), '(0,1)', 'over again');
select pg_temp.fail('11 hours'), pg_temp.fail('11 hours 59 minutes');
select is(pg_temp.pass(interval '12 hours' - interval '1 microsecond'), '(0,0)', 'until the cooldown is over, a rule keeps quiet');
select is(pg_temp.pass('12 hours'), '(1,0)', 'then it speaks');
-- Who takes a rule away ends its episode.
create temp table removed as select id from public.alert_rules where tenant_id is not null;
delete from public.alert_rules where tenant_id is not null;
select is(pg_temp.pass('12 hours'), '(0,1)', 'an alert whose rule was deleted is over');
select is(
  (select (status, resolved_by, cleared_at - now())::text from public.alerts order by opened_at desc limit 1), '(resolved,system,12:00:00)', 'and stays as a record'
);
select is(
  (select count(*) from public.alerts a where a.rule_id = (select id from removed)), (select count(*) from public.alerts), 'of which rule it was'
);

select * from finish();
rollback;
