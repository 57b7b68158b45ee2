begin;
select plan(12);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select (create_tenant('Trying', 'trial')).id as trying, (create_tenant('Other', 'trial')).id as other, (create_tenant('Free', 'free')).id as free;
insert into public.memberships select trying, tests.user_id('olga'), 'owner' from made;
grant select on made to authenticated, service_role, anon;
create function pg_temp.tenant() returns uuid language sql as $$ select trying from made $$;
create function pg_temp.error(p_days int, p_tenant uuid default pg_temp.tenant()) returns text language sql as $$
  select tests.error_of(format('select extend_trial(%L, %L)', p_tenant, p_days))
$$;

select tests.act_as_user('root');
select is((select (extend_trial(trying, 7)).trial_ends_at from made), now() + interval '21 days', 'a trial ends so many days later');
select is((select (extend_trial(trying, 1)).trial_ends_at from made), now() + interval '22 days', 'than it would have');
select tests.act_as_owner();
select results_eq(
  $$ select tenant_id, action, actor_type::text, old_values, new_values, metadata from public.audit_events
     where event_type = 'trial_extended' order by metadata -> 'days' desc $$,
  $$ select trying, 'extended', 'admin', jsonb_build_object('trial_ends_at', now() + f * interval '1 day'),
       jsonb_build_object('trial_ends_at', now() + t * interval '1 day'), jsonb_build_object('days', t - f)
     from made, (values (14, 21), (21, 22)) as d (f, t) $$,
  'each time is recorded'
);
select tests.act_as_service_role();
select is_empty(
  'select d from unnest(array[0, -1, 366, null]) d where pg_temp.error(d) is distinct from ''PT400 invalid_days''', 'by 1 to 365 days'
);
select is(pg_temp.error(365), null, 'so does the service role');
select is(pg_temp.error(1, (select free from made)), 'PT409 not_on_trial', 'there has to be a trial');
select is(pg_temp.error(1, gen_random_uuid()), 'PT404 tenant_not_found', 'and a tenant');
select tests.act_as_user('olga');
select is(pg_temp.error(1), 'PT403 platform_admin_only', 'an owner extends none');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(pg_temp.error(1), 'PT403 platform_admin_only', 'nor with forged claims');
select tests.act_as_anon();
select is(pg_temp.error(1), '42501', 'nor anon');
select tests.act_as_owner();
select is((select trial_ends_at from public.tenants, made where id = trying), now() + interval '387 days', 'so it ends when it was said');
select is((select trial_ends_at from public.tenants, made where id = other), now() + interval '14 days', 'and another when it would have');

select * from finish();
rollback;
