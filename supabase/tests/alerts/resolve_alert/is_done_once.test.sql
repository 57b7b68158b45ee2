begin;
select plan(20);

update public.alert_rules set enabled = false;
select tests.create_user(u) from unnest(array['vera', 'adam', 'stan', 'root']) u;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'adam', 'admin'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.alerts (id, tenant_id, type, severity, title, message, dedup_key)
select md5(n)::uuid, tests.tenant_id(t), 'usage_threshold', 'medium', n, n, n
from (values ('a', 'acme'), ('b', 'acme'), ('c', 'acme'), ('operators', null)) alerts (n, t);
create temp table key as select (create_api_key(tests.tenant_id('acme'), 'k', 'editor')).id;
grant select on key to authenticated;
create function pg_temp.done(p_alert text, p_note text default null) returns text language plpgsql as $$
declare
  v_answer int;
begin
  execute format('select resolve_alert(%L, %L)', md5(p_alert)::uuid, p_note) into v_answer;
  return v_answer;
exception when others then
  return tests.error_of(format('select resolve_alert(%L, %L)', md5(p_alert)::uuid, p_note));
end
$$;
create function pg_temp.state(p_alert text) returns text language sql as $$
  select (status, resolved_by, resolved_at - now(), resolution_note, cleared_at)::text from public.alerts where id = md5(p_alert)::uuid
$$;

select tests.act_as_user('vera');
select is(pg_temp.done('a'), 'PT403 permission_denied', 'a viewer may read alerts, but not resolve them');
select tests.act_as_user('stan');
select is(pg_temp.done('a'), 'PT404 alert_not_found', 'a stranger finds none');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.done('a'), 'PT404 alert_not_found', 'with a forged token neither');
select tests.act_as_api_key(id) from key;
select is(pg_temp.done('a'), 'PT403 permission_denied', 'an editor''s API key may not');
select tests.act_as_anon();
select is(pg_temp.done('a'), '42501', 'nor anon');
select tests.act_as_user('adam');
select is(pg_temp.done('operators'), 'PT403 platform_admin_only', 'the operator''s are not an admin''s');
select is(pg_temp.done('none'), 'PT404 alert_not_found', 'one that there is not is not found');
select is(pg_temp.done('a', repeat('x', 2001)), 'PT400 invalid_note', 'a note is not longer');
select is(pg_temp.done('a', repeat('x', 2000)), '1', 'than 2,000 characters');
select is(pg_temp.state('a'), format('(resolved,%s,00:00:00,%s,)', tests.user_id('adam'), repeat('x', 2000)), 'an admin resolves, and the episode goes on');
select is(pg_temp.done('a', 'Again.'), '0', 'once');
select is(pg_temp.done('b'), '1', 'without a note as well');
select is(pg_temp.state('b'), format('(resolved,%s,00:00:00,,)', tests.user_id('adam')), 'there is none then');
select tests.act_as_user('root');
select is(pg_temp.done('b', 'Mine.'), '0', 'nobody resolves it anew');
select is(pg_temp.state('b'), format('(resolved,%s,00:00:00,,)', tests.user_id('adam')), 'it stays as it was');
select is(pg_temp.done('operators'), '1', 'a platform admin resolves the operator''s');
select is(pg_temp.state('operators'), format('(resolved,%s,00:00:00,,)', tests.user_id('root')), 'by name');
select tests.act_as_service_role();
select is(pg_temp.done('c'), '1', 'the service role does');
select is(pg_temp.state('c'), '(resolved,system,00:00:00,,)', 'as the system');
select tests.act_as_owner();
select is(pg_temp.done('a', repeat('x', 2001)), 'PT400 invalid_note', 'a bad note is one of a resolved alert, too');

select * from finish();
rollback;
