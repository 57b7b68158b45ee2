begin;
select plan(18);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'vic', 'bob', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select (create_tenant('A', 'trial')).id as a, (create_tenant('B', 'trial')).id as b, (create_tenant('C', 'trial')).id as c;
insert into public.memberships select a, tests.user_id(u), r
from made, (values ('olga', 'owner'::public.member_role), ('adam', 'admin'), ('edit', 'editor'), ('vic', 'viewer')) as m (u, r);
insert into public.memberships select b, tests.user_id('bob'), 'owner' from made;
create temp table keys as
select role, (create_api_key(a, role::text, role)).id from made, unnest(array['owner', 'admin']::public.member_role[]) role;
grant select on made, keys to authenticated, service_role, anon;
create function pg_temp.tenant() returns uuid language sql as $$ select a from made $$;
create function pg_temp.error(p_reason text default null, p_tenant uuid default pg_temp.tenant()) returns text language sql as $$
  select tests.error_of(format('select cancel_trial(%L, %L)', p_tenant, p_reason))
$$;

select tests.act_as_user('adam');
select is(pg_temp.error(), 'PT403 permission_denied', 'an admin cancels no trial');
select tests.act_as_user('edit');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor an editor');
select tests.act_as_user('vic', '{"role": "service_role", "app_metadata": {"role": "owner"}}');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor a viewer, whatever the claims say');
select tests.act_as_user('bob');
select is(pg_temp.error(), 'PT403 permission_denied', 'nor another tenant''s owner');
select tests.act_as_api_key((select id from keys where role = 'admin'));
select is(pg_temp.error(), 'PT403 permission_denied', 'nor an admin''s API key');
select tests.act_as_anon();
select is(pg_temp.error(), '42501', 'nor anon');
select tests.act_as_owner();
select is((select plan_id from public.tenants, made where id = a), 'trial', 'so it goes on');

select tests.act_as_user('olga');
select is(pg_temp.error(repeat('x', 1001)), 'PT400 invalid_reason', 'a reason is not too long');
select is(
  (select (t.plan_id, t.trial_ends_at)::text from made, cancel_trial(a, 'Too dear') t), '(free,)', 'an owner does; the tenant is on free'
);
select is(pg_temp.error(), 'PT409 not_on_trial', 'once');
select tests.act_as_owner();
select results_eq(
  $$ select tenant_id, action, actor_type::text, actor_id, old_values, new_values, metadata from public.audit_events
     where event_type = 'trial_cancelled' $$,
  $$ select a, 'cancelled', 'tenant', tests.user_id('olga')::text,
       jsonb_build_object('plan_id', 'trial', 'trial_ends_at', now() + interval '14 days'),
       '{"plan_id": "free", "trial_ends_at": null}'::jsonb, '{"reason": "Too dear"}'::jsonb from made $$,
  'which is recorded, with the reason'
);
select is((select plan_id from public.tenants, made where id = b), 'trial', 'another tenant''s goes on');
select tests.act_as_user('root');
select is(pg_temp.error(null, (select b from made)), null, 'a platform admin cancels any');
select tests.act_as_service_role();
select is(pg_temp.error(repeat('ü', 1000), (select c from made)), null, 'and the service role');
select is(pg_temp.error(null, gen_random_uuid()), 'PT404 tenant_not_found', 'of a tenant that exists');
select tests.act_as_owner();
select set_tenant_plan(a, 'trial') from made;
select tests.act_as_api_key((select id from keys where role = 'owner'));
select is(pg_temp.error(), null, 'an owner''s API key cancels');
select tests.act_as_owner();
select set_tenant_plan(a, 'trial') from made;
update public.tenants set status = 'suspended' from made where id = a;
select tests.act_as_user('olga');
select is(pg_temp.error(), 'PT403 permission_denied', 'the owner of a suspended tenant does not');
select tests.act_as_owner();
select is((select array_agg(distinct plan_id order by plan_id) from public.tenants t, made where t.id in (b, c)), array['free'], 'all others are on free');

select * from finish();
rollback;
