begin;
select plan(11);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex', 'gone']) t;
select set_test_clock(tests.tenant_id('globex'), '5 days');
update public.tenants set status = 'suspended' where id = tests.tenant_id('gone');
insert into public.alert_rules (name, type) values ('all', 'usage_threshold'), ('over', 'overage_detected');
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('globex'), 'own', 'usage_threshold');
insert into public.alert_channels (tenant_id, type, name) values (null, 'console', 'operator'), (tests.tenant_id('acme'), 'console', 'acme'), (tests.tenant_id('globex'), 'console', 'globex');
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
select id, 'tokens', 'day', '', private.window_start('day', private.tenant_now(id)), 8000 from public.tenants where name in ('acme', 'globex', 'gone');

select is((select opened from evaluate_alert_rules()), 3, 'an operator''s rule watches every tenant that is active');
select set_eq(
  $$ select tenant_id, data ->> 'tenant_name' as name, data ->> 'tenant_id' as id from public.alerts $$,
  $$ values (null, 'acme', tests.tenant_id('acme')::text), (null, 'globex', tests.tenant_id('globex')::text),
       (tests.tenant_id('globex'), 'globex', tests.tenant_id('globex')::text) $$,
  'its alerts are the operator''s and say which tenant they are about'
);
select set_eq(
  $$ select data ->> 'tenant_name' as name, opened_at - now() as ahead from public.alerts where tenant_id is null $$,
  $$ values ('acme', interval '0'), ('globex', interval '0') $$,
  'in real time'
);
select set_eq(
  $$ select c.name, n.tenant_id, n.payload #>> '{alert,data,tenant_name}' as about, n.payload #>> '{alert,tenant_name}' as tenant
     from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id $$,
  $$ values ('operator', null, 'acme', null), ('operator', null, 'globex', null), ('globex', tests.tenant_id('globex'), 'globex', 'globex') $$,
  'the operator''s channels are told of them, and the tenant''s of its own'
);
update private.quota_counters set used = 10001 where tenant_id = tests.tenant_id('acme');
select is((select opened from evaluate_alert_rules()), 2, 'each rule sees for itself');
select set_eq(
  $$ select type, severity::text from public.alerts where data ->> 'tenant_name' = 'acme' $$,
  $$ values ('usage_threshold', 'medium'), ('usage_threshold', 'critical'), ('overage_detected', 'high') $$, 'both steps and the overage'
);

-- In the debiting transaction as well.
delete from public.alerts;
delete from private.quota_counters;
select consume_quota(tests.tenant_id(t), 'tokens', 7999) from unnest(array['acme', 'globex']) t;
select is_empty('select from public.alerts', 'below, none is crossed');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select set_eq($$ select tenant_id, data ->> 'tenant_name' as name from public.alerts $$, $$ values (null::uuid, 'acme') $$, 'what acme takes crosses the operator''s rule');
select consume_quota(tests.tenant_id('globex'), 'tokens', 1);
select set_eq(
  $$ select tenant_id, opened_at - now() as ahead from public.alerts where data ->> 'tenant_name' = 'globex' $$,
  $$ values (null, interval '0'), (tests.tenant_id('globex'), interval '5 days') $$, 'what globex takes crosses both, its own in its time'
);
select is((select opened from evaluate_alert_rules()), 0, 'of which a pass sees nothing new');
update public.tenants set clock_offset = '6 days' where id = tests.tenant_id('globex');
select is((select resolved from evaluate_alert_rules()), 2, 'and each is over when its day is');

select * from finish();
rollback;
