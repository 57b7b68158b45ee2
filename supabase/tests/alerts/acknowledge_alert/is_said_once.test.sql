begin;
select plan(24);

update public.alert_rules set enabled = false;
select tests.create_user(u) from unnest(array['vera', 'adam', 'stan', 'root']) u;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'adam', 'admin'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.alerts (id, tenant_id, type, severity, title, message, dedup_key)
select md5(n)::uuid, tests.tenant_id(t), 'usage_threshold', 'medium', n, n, n
from (values ('a', 'acme'), ('b', 'acme'), ('c', 'acme'), ('d', 'acme'), ('operators', null)) alerts (n, t);
create temp table keys as
select r, (create_api_key(tests.tenant_id('acme'), r, r::public.member_role)).id from unnest(array['viewer', 'admin']) r;
grant select on keys to authenticated;
create function pg_temp.said(p_alert text) returns text language plpgsql as $$
declare
  v_answer int;
begin
  execute format('select acknowledge_alert(%L)', md5(p_alert)::uuid) into v_answer;
  return v_answer;
exception when others then
  return tests.error_of(format('select acknowledge_alert(%L)', md5(p_alert)::uuid));
end
$$;
create function pg_temp.state(p_alert text) returns text language sql as $$
  select (status, acknowledged_by, acknowledged_at - now())::text from public.alerts where id = md5(p_alert)::uuid
$$;

select tests.act_as_user('vera');
select is(pg_temp.said('a'), 'PT403 permission_denied', 'a viewer may read alerts, but not say so');
select tests.act_as_user('stan');
select is(pg_temp.said('a'), 'PT404 alert_not_found', 'a stranger finds none');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.said('a'), 'PT404 alert_not_found', 'with a forged token neither');
select tests.act_as_user('adam');
select is(pg_temp.said('operators'), 'PT403 platform_admin_only', 'the operator''s are not an admin''s');
select is(pg_temp.said('none'), 'PT404 alert_not_found', 'one that there is not is not found');
select is(pg_temp.said('a'), '1', 'an admin says so');
select is(pg_temp.state('a'), format('(acknowledged,%s,00:00:00)', tests.user_id('adam')), 'which is remembered');
select is(pg_temp.said('a'), '0', 'once');
select tests.act_as_user('root');
select is(pg_temp.said('a'), '0', 'nobody takes it over');
select is(pg_temp.state('a'), format('(acknowledged,%s,00:00:00)', tests.user_id('adam')), 'it stays who it was');
select is(pg_temp.said('operators'), '1', 'a platform admin looks after the operator''s');
select is(pg_temp.said('b'), '1', 'and any tenant''s');
select tests.act_as_api_key(id) from keys where r = 'viewer';
select is(pg_temp.said('c'), 'PT403 permission_denied', 'an API key by its role');
select tests.act_as_owner();
select tests.act_as_api_key(id) from keys where r = 'admin';
select is(pg_temp.said('c'), '1', 'one of an admin may');
select tests.act_as_owner();
select is(pg_temp.state('c'), (select format('(acknowledged,%s,00:00:00)', id) from keys where r = 'admin'), 'and is remembered');
select tests.act_as_service_role();
select is(pg_temp.said('d'), '1', 'the service role may');
select is(pg_temp.state('d'), '(acknowledged,system,00:00:00)', 'as the system');
select tests.act_as_anon();
select is(pg_temp.said('d'), '42501', 'anon may not');
select tests.act_as_owner();
select is(resolve_alert(md5('a')::uuid), 1, 'what is acknowledged is resolved then');
select is(pg_temp.said('a'), '0', 'what is resolved needs nobody');
select is((select status::text from public.alerts where id = md5('a')::uuid), 'resolved', 'and stays resolved');
select is((select acknowledged_by from public.alerts where id = md5('a')::uuid), tests.user_id('adam')::text, 'with who looked after it');
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('adam');
select is(pg_temp.said('b'), 'PT404 alert_not_found', 'nobody does in a tenant that is suspended');
select tests.act_as_user('root');
select is(pg_temp.said('b'), '0', 'but platform admins');

select * from finish();
rollback;
