begin;
select plan(25);

select tests.create_user(u) from unnest(array['vera', 'adam', 'stan', 'root']) u;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'adam', 'admin'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.alert_channels (tenant_id, type, name, config, enabled) values
  (tests.tenant_id('acme'), 'email', 'mail', '{"recipients": ["a@example.com", "b@example.com"]}', true), (tests.tenant_id('acme'), 'console', 'console', '{}', true),
  (tests.tenant_id('acme'), 'console', 'off', '{}', false), (null, 'console', 'operators', '{}', true), (tests.tenant_id('globex'), 'console', 'globex', '{}', true);
create temp table ids as select name, id from public.alert_channels;
grant select on ids to authenticated, anon;
create function pg_temp.fault(p_name text) returns text language sql as $$
  select tests.error_of(format('select test_alert_channel(%L)', coalesce((select id from ids where name = p_name), gen_random_uuid())))
$$;

select tests.act_as_user('vera');
select is(pg_temp.fault('console'), 'PT403 permission_denied', 'a viewer sends none');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.fault('console'), 'PT404 alert_channel_not_found', 'a stranger finds no channel, with a forged token neither');
select tests.act_as_anon();
select is(pg_temp.fault('console'), '42501', 'anon may not');
select tests.act_as_user('adam');
select is(pg_temp.fault('none'), 'PT404 alert_channel_not_found', 'there has to be one');
select is(pg_temp.fault('operators'), 'PT403 platform_admin_only', 'the operator''s is not a tenant''s');
select is(pg_temp.fault('off'), 'PT409 channel_disabled', 'one that is disabled is not tested');
select is((select count(*) from test_alert_channel((select id from ids where name = 'console'))), 1::bigint, 'an admin sends one');
create temp table mails as select test_alert_channel(id) as id from ids where name = 'mail';
select is((select count(*) from mails), 2::bigint, 'by e-mail one to each recipient');
select tests.act_as_owner();
select results_eq(
  $$ select n.tenant_id, n.alert_id, n.kind, n.recipient, n.lane, n.status::text, n.channel_id = i.id from mails m join public.alert_notifications n using (id) join ids i on i.name = 'mail' order by n.recipient $$,
  $$ values (tests.tenant_id('acme'), null::uuid, 'alert', 'a@example.com', 'email:' || tests.tenant_id('acme'), 'pending', true), (tests.tenant_id('acme'), null, 'alert', 'b@example.com', 'email:' || tests.tenant_id('acme'), 'pending', true) $$,
  'by the ids that it returns'
);
select is((select n.lane from public.alert_notifications n join ids i on i.id = n.channel_id where i.name = 'console'), (select id::text from ids where name = 'console'), 'in the lane of the channel');
select is(
  (select payload #- '{alert,id}' from public.alert_notifications n join ids i on i.id = n.channel_id where i.name = 'console'),
  jsonb_build_object('event', 'test', 'alert', jsonb_build_object(
    'tenant_id', tests.tenant_id('acme'), 'tenant_name', 'acme', 'rule_id', null, 'rule_name', null, 'type', 'test', 'severity', 'low',
    'title', 'Test alert', 'message', 'This is a test of a channel. Nothing is wrong.', 'data', '{"test": true}'::jsonb, 'action_required', false,
    'status', 'open', 'dedup_key', 'test:' || (select id from ids where name = 'console'), 'occurrences', 1, 'opened_at', now(),
    'acknowledged_at', null, 'resolved_at', null, 'resolution_note', null
  )), 'as an alert that says so'
);
select is_empty('select from public.alerts where tenant_id is not null', 'of which there is none');
select is((select count(distinct payload #>> '{alert,id}') from public.alert_notifications where tenant_id is not null), 2::bigint, 'each test is an alert of its own');
select tests.act_as_user('root');
select is(pg_temp.fault('operators'), null, 'a platform admin tests the operator''s');
select is(pg_temp.fault('console'), null, 'and any tenant''s');
select tests.act_as_service_role();
select is(tests.error_of(format('select test_alert_channel(%L)', id)), null, 'the service role does') from public.alert_channels where name = 'globex';

-- A tenant's in an hour; what else is sent does not count.
select tests.act_as_owner();
select is((select count(*) from public.alert_notifications where tenant_id = tests.tenant_id('acme')), 4::bigint, 'so many were sent');
insert into public.alert_notifications (tenant_id, kind, created_at) select tests.tenant_id('acme'), 'alert', now() - interval '1 hour' from generate_series(1, 99);
insert into public.alert_notifications (tenant_id, kind, payload) select tests.tenant_id('acme'), 'billing', jsonb_build_object('key', i) from generate_series(1, 99) i;
insert into public.alert_notifications (tenant_id, kind, alert_id) select tests.tenant_id('acme'), 'alert', gen_random_uuid() from generate_series(1, 99);
insert into public.alert_notifications (tenant_id, kind) select null, 'alert' from generate_series(1, 99);
insert into public.alert_notifications (tenant_id, kind) select tests.tenant_id('acme'), 'alert' from generate_series(1, 55);
select tests.act_as_user('adam');
select is(pg_temp.fault('console'), null, 'a tenant sends 60 an hour');
select is(pg_temp.fault('console'), 'PT429 too_many_tests', 'and no more');
select is(pg_temp.fault('mail'), 'PT429 too_many_tests', 'through whichever channel');
select tests.act_as_user('stan');
select is(pg_temp.fault('globex'), null, 'another tenant its own');
select tests.act_as_user('root');
select is(pg_temp.fault('operators'), null, 'the operator any number');
select tests.act_as_owner();
update public.alert_notifications set created_at = created_at - interval '1 second' where tenant_id = tests.tenant_id('acme') and created_at > now() - interval '1 hour';
update public.alert_notifications set created_at = now() - interval '1 hour'
where id in (select id from public.alert_notifications where tenant_id = tests.tenant_id('acme') and kind = 'alert' and alert_id is null and created_at > now() - interval '1 hour' limit 1);
select tests.act_as_user('adam');
select is(pg_temp.fault('console'), null, 'after an hour another');
select is(pg_temp.fault('console'), 'PT429 too_many_tests', 'of each');
select tests.act_as_user('adam');
select is((select count(*) from public.alert_channels), 3::bigint, 'testing changes no channel');

select * from finish();
rollback;
