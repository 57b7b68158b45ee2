begin;
select plan(31);

select tests.create_user(u) from unnest(array['vera', 'adam', 'stan', 'root']) u;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'adam', 'admin'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table key as select (create_api_key(tests.tenant_id('acme'), 'k', 'admin')).id;
grant select on key to authenticated;
insert into public.alert_channels (tenant_id, type, name) values (tests.tenant_id('acme'), 'console', 'c'), (null, 'console', 'o');
insert into public.alert_notifications (id, tenant_id, channel_id, kind, recipient, lane, status, attempts, last_error, next_attempt_at, locked_until, sent_at)
select md5(n)::uuid, tests.tenant_id(t), c.id, k, n, coalesce(c.id::text, 'email'), s::public.notification_status, 13, 'x', now() + interval '1 hour', case s when 'sending' then now() end, case s when 'sent' then now() end
from (values
  ('a', 'acme', 'alert', 'dead'), ('b', 'acme', 'alert', 'dead'), ('c', 'acme', 'alert', 'dead'), ('d', 'acme', 'alert', 'dead'), ('bill', 'acme', 'billing', 'dead'),
  ('invite', 'acme', 'invite', 'dead'), ('operators', null, 'alert', 'dead'), ('pending', 'acme', 'alert', 'pending'), ('failed', 'acme', 'alert', 'failed'),
  ('sending', 'acme', 'alert', 'sending'), ('sent', 'acme', 'alert', 'sent')
) n (n, t, k, s)
left join public.alert_channels c on n.k = 'alert' and c.tenant_id is not distinct from tests.tenant_id(t) and c.name in ('c', 'o');
create function pg_temp.replayed(p_name text) returns text language plpgsql as $$
declare
  v_answer int;
begin
  execute format('select replay_alert_notification(%L)', md5(p_name)::uuid) into v_answer;
  return v_answer;
exception when others then
  return tests.error_of(format('select replay_alert_notification(%L)', md5(p_name)::uuid));
end
$$;

select tests.act_as_user('vera');
select is(pg_temp.replayed('a'), 'PT403 permission_denied', 'a viewer does not replay');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.replayed('a'), 'PT404 notification_not_found', 'a stranger finds no message, with a forged token neither');
select tests.act_as_anon();
select is(pg_temp.replayed('a'), '42501', 'anon may not');
select tests.act_as_user('adam');
select is(pg_temp.replayed('none'), 'PT404 notification_not_found', 'there has to be one');
select is(pg_temp.replayed('operators'), 'PT403 platform_admin_only', 'the operator''s is not a tenant''s');
select is(pg_temp.replayed('bill'), 'PT403 platform_admin_only', 'nor is a bill');
select is(pg_temp.replayed('invite'), 'PT403 platform_admin_only', 'nor an invite');
select is(pg_temp.replayed('a'), '1', 'an admin replays what is dead');
select tests.act_as_owner();
select results_eq(
  $$ select status::text, attempts, next_attempt_at, last_error from public.alert_notifications where recipient = 'a' $$, $$ values ('pending', 0, now(), 'x') $$,
  'it is due now, with all its attempts, and why it was dead'
);
select tests.act_as_user('adam');
select is(pg_temp.replayed('a'), '0', 'once');
select is(pg_temp.replayed(n), '0', 'not what is ' || n) from unnest(array['pending', 'failed', 'sending', 'sent']) n;
select tests.act_as_owner();
select set_eq(
  $$ select recipient, status::text, attempts from public.alert_notifications where recipient = status::text $$,
  $$ select n, n as status, 13 from unnest(array['pending', 'failed', 'sending', 'sent']) n $$, 'which stays as it is'
);
select tests.act_as_api_key(id) from key;
select is(pg_temp.replayed('b'), '1', 'an admin''s API key may');
select tests.act_as_service_role();
select is(pg_temp.replayed('c'), '1', 'the service role may');
select tests.act_as_user('root');
select is(pg_temp.replayed('d'), '1', 'a platform admin may');
select is(pg_temp.replayed('operators'), '1', 'the operator''s as well');
select is(pg_temp.replayed('bill'), '1', 'and bills');
select is(pg_temp.replayed('invite'), '0', 'but no invite, whose token is forgotten');
select tests.act_as_owner();
select is((select status::text from public.alert_notifications where recipient = 'invite'), 'dead', 'it stays dead');
select is((select count(*) from claim_alert_notifications() where attempt = 1), 6::bigint, 'the others leave');
select results_eq(
  $$ select complete_alert_notification(id, false, 'again') from public.alert_notifications where recipient = 'a' $$, array[1], 'one that fails again'
);
select is((select status::text from public.alert_notifications where recipient = 'a'), 'failed', 'is tried again');
-- What would come too late.
insert into public.alerts (id, tenant_id, type, severity, title, message, dedup_key, status, resolved_at)
select md5(s)::uuid, tests.tenant_id('acme'), 'cost_spike', 'low', s, 'm', s, s::public.alert_status, case s when 'resolved' then now() end from unnest(array['open', 'resolved']) s;
insert into public.alert_notifications (id, tenant_id, alert_id, channel_id, kind, lane, status, payload)
select md5(s || e)::uuid, c.tenant_id, md5(s)::uuid, c.id, 'alert', c.id, 'dead', jsonb_build_object('event', e)
from unnest(array['open', 'resolved']) s, unnest(array['opened', 'resolved']) e, public.alert_channels c where c.name = 'c';
select is(pg_temp.replayed('openopened'), '1', 'that an alert opened is sent while it is');
select is(pg_temp.replayed('resolvedopened'), '0', 'not when it is resolved');
select is(pg_temp.replayed('resolvedresolved'), '1', 'which is news still');
update public.alert_channels set enabled = false where name = 'c';
select is(pg_temp.replayed('openopened'), '0', 'nothing is sent to a channel that is off');
update public.alert_channels set enabled = true where name = 'c';
select is(pg_temp.replayed('openopened'), '1', 'until it is on again');
select is((select count(*) from public.alert_notifications where tenant_id = tests.tenant_id('globex')), 0::bigint, 'globex has none');

select * from finish();
rollback;
