begin;
select plan(26);

update public.alert_rules set enabled = false;
select tests.create_user(u) from unnest(array['viewer', 'stranger', 'root', 'nobody']) u;
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'viewer', 'viewer'), tests.add_member('globex', 'stranger', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table key as select (create_api_key(tests.tenant_id('acme'), 'k', 'viewer')).id;
grant select on key to authenticated;
insert into public.alerts (tenant_id, type, severity, title, message, dedup_key)
select tests.tenant_id(nullif(n, 'operator')), 'usage_threshold', 'low', n, n, n from unnest(array['acme', 'globex', 'operator']) n;
insert into public.alert_notifications (tenant_id, kind, recipient, payload)
select tests.tenant_id(nullif(n, 'operator')), k, n || ' ' || k, jsonb_build_object('secret', n, 'key', n || k) from unnest(array['acme', 'globex', 'operator']) n, unnest(array['alert', 'invite', 'billing']) k;
create function pg_temp.alerts() returns text language sql as $$ select coalesce(string_agg(title, ' ' order by title), '') from public.alerts $$;
create function pg_temp.messages() returns text language sql as $$
  select coalesce(string_agg(recipient, ', ' order by recipient), '') from public.alert_notifications
$$;

select tests.act_as_user('viewer');
select is(pg_temp.alerts(), 'acme', 'a member reads the alerts of their tenant');
select is(pg_temp.messages(), 'acme alert', 'and what became of their messages, of no invites or bills');
select is(tests.error_of('select payload from public.alert_notifications'), '42501', 'not what they say');
select is(tests.error_of('select * from public.alert_notifications'), '42501', 'in no way');
select is(
  tests.error_of('select id, tenant_id, alert_id, channel_id, kind, recipient, lane, status, attempts, next_attempt_at, locked_until, last_error, created_at, sent_at from public.alert_notifications'),
  null, 'all else'
);
select is(tests.error_of(s), '42501', 'nobody writes: ' || s) from unnest(array[
  'update public.alerts set title = title', 'delete from public.alerts', 'insert into public.alerts default values',
  'update public.alert_notifications set status = status', 'delete from public.alert_notifications', 'insert into public.alert_notifications default values'
]) s;
select tests.act_as_api_key(id) from key;
select is(pg_temp.alerts(), 'acme', 'an API key reads them');
select is(pg_temp.messages(), 'acme alert', 'and their messages');
select tests.act_as_user('stranger', jsonb_build_object('role', 'service_role', 'tenant_id', tests.tenant_id('acme')));
select is(pg_temp.alerts(), 'globex', 'a stranger reads their own, whatever the token says');
select is(pg_temp.messages(), 'globex alert', 'and its messages');
select tests.act_as_user('nobody');
select is(pg_temp.alerts() || pg_temp.messages(), '', 'who is in no tenant reads none');
select tests.act_as_user('root');
select is(pg_temp.alerts(), 'acme globex operator', 'a platform admin reads all');
select is(
  pg_temp.messages(), 'acme alert, acme billing, acme invite, globex alert, globex billing, globex invite, operator alert, operator billing, operator invite',
  'and all messages'
);
select is(tests.error_of('select payload from public.alert_notifications'), '42501', 'not what they say either');
select tests.act_as_anon();
select is(tests.error_of('select title from public.alerts'), '42501', 'anon reads no alert');
select is(tests.error_of('select id from public.alert_notifications'), '42501', 'and no message');
select tests.act_as_service_role();
select is(pg_temp.alerts(), 'acme globex operator', 'the service role reads all');
select is(tests.error_of('select payload from public.alert_notifications'), null, 'and what they say');
select is(tests.error_of('update public.alerts set title = title'), '42501', 'but writes none');
select tests.act_as_owner();
delete from public.role_permissions where permission = 'alerts:read';
select tests.act_as_user('viewer');
select is(pg_temp.alerts() || pg_temp.messages(), '', 'without alerts:read a member reads none');
select tests.act_as_owner();
delete from public.tenants where id = tests.tenant_id('acme');
select is(pg_temp.alerts(), 'globex operator', 'what is a tenant''s goes with it');

select * from finish();
rollback;
