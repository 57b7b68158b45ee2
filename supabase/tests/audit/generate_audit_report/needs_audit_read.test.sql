begin;
select plan(13);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select role, (create_api_key(tests.tenant_id('acme'), role::text, role)).id
from unnest(array['admin', 'viewer']::public.member_role[]) role;
grant select on made to authenticated;
create function pg_temp.error(p_from timestamptz default '-infinity', p_to timestamptz default 'infinity') returns text language sql as $$
  select tests.error_of(format('select generate_audit_report(tests.tenant_id(''acme''), %L, %L)', p_from, p_to))
$$;

select tests.act_as_user('olga');
select is(pg_temp.error(), null, 'an owner has a report');
select is(pg_temp.error('infinity', '-infinity'), 'PT400 invalid_range', 'of a range that does not end before it begins');
select is(pg_temp.error(null, 'infinity'), 'PT400 invalid_range', 'that has a beginning');
select is(pg_temp.error('-infinity', null), 'PT400 invalid_range', 'and an end');
select tests.act_as_user('adam');
select is(pg_temp.error(), null, 'so has an admin');
select tests.act_as_user('edit');
select is(pg_temp.error(), 'PT403 permission_denied', 'an editor has none');
select tests.act_as_user('vic', '{"role": "service_role"}');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor a viewer, whatever the claims say');
select tests.act_as_user('bob');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor another tenant''s owner');
select tests.act_as_api_key((select id from made where role = 'admin'));
select is(pg_temp.error(), null, 'an admin''s API key has one');
select tests.act_as_api_key((select id from made where role = 'viewer'));
select is(pg_temp.error(), 'PT403 permission_denied', 'a viewer''s has none');
select tests.act_as_user('root');
select is(pg_temp.error(), null, 'a platform admin has one');
select tests.act_as_service_role();
select is(pg_temp.error(), null, 'so has the service role');
select tests.act_as_anon();
select is(pg_temp.error(), '42501', 'anon has none');

select * from finish();
rollback;
