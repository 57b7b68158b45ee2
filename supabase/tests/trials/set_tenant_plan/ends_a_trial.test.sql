begin;
select plan(19);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select (create_tenant('A', 'trial')).id as a, (create_tenant('B', 'trial')).id as b, (create_tenant('C', 'free')).id as c,
  (create_tenant('D', 'trial')).id as d;
insert into public.memberships select a, tests.user_id('olga'), 'owner' from made;
grant select on made to authenticated, service_role, anon;
create temp view events as
select tenant_id, event_type, action, old_values - 'trial_ends_at' as old, new_values - 'trial_ends_at' as new from public.audit_events
where event_type like 'trial\_%' and event_type <> 'trial_created' or event_type = 'plan_changed';
create function pg_temp.tenant() returns uuid language sql as $$ select a from made $$;
create function pg_temp.error(p_plan text, p_tenant uuid default pg_temp.tenant()) returns text language sql as $$
  select tests.error_of(format('select set_tenant_plan(%L, %L)', p_tenant, p_plan))
$$;

select tests.act_as_user('root');
select is((select (t.plan_id, t.trial_ends_at)::text from made, set_tenant_plan(a, 'pro') t), '(pro,)', 'an upgrade ends the trial');
select is((select (t.plan_id, t.trial_ends_at)::text from made, set_tenant_plan(b, 'free') t), '(free,)', 'so does free');
select is((select (t.plan_id, t.trial_ends_at)::text from made, set_tenant_plan(c, 'pro') t), '(pro,)', 'who was on none changes plans');
select tests.act_as_owner();
select set_eq(
  'select * from events',
  $$ select x.t, x.e, x.a, jsonb_build_object('plan_id', x.o) as old, jsonb_build_object('plan_id', x.n) as new
     from made, lateral (values
       (made.a, 'trial_upgraded', 'upgraded', 'trial', 'pro'), (b, 'trial_cancelled', 'cancelled', 'trial', 'free'),
       (c, 'plan_changed', 'changed', 'free', 'pro')) as x (t, e, a, o, n) $$,
  'each is recorded as what it was'
);
select is(
  (select old_values ->> 'trial_ends_at' from public.audit_events where event_type = 'trial_upgraded'),
  to_jsonb(now() + interval '14 days') #>> '{}', 'with when the trial would have ended'
);
select is((select plan_id from made, set_tenant_plan(a, 'pro')), 'pro', 'the same plan again');
select is((select count(*) from events), 3::bigint, 'is no change');
select is((select trial_ends_at from made, set_tenant_plan(d, 'trial')), now() + interval '14 days', 'nor does it begin a trial anew');

-- A plan with trial days begins a trial, in the tenant's time.
select set_test_clock(a, '10 days') from made;
select is((select trial_ends_at from made, set_tenant_plan(a, 'trial')), now() + interval '24 days', 'a trial can begin, in the tenant''s time');
select is(
  (select e.old_values ->> 'plan_id' from made, public.audit_events e
   where e.tenant_id = a and e.event_type = 'trial_created' and e.old_values is not null),
  'pro', 'which is recorded'
);
select is(
  (select trial_ends_at from public.tenants t, made where t.id = c), null, 'of that tenant alone'
);
select tests.act_as_service_role();
select is(pg_temp.error('startup'), null, 'the service role sets plans');
select is(pg_temp.error('gold'), 'PT404 plan_not_found', 'that exist');
select is(pg_temp.error(null), 'PT404 plan_not_found', 'and are named');
select is(pg_temp.error('pro', gen_random_uuid()), 'PT404 tenant_not_found', 'of a tenant that exists');
select tests.act_as_user('olga');
select is(pg_temp.error('enterprise'), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_user('olga', '{"role": "service_role", "app_metadata": {"platform_admin": true}}');
select is(pg_temp.error('enterprise'), 'PT403 platform_admin_only', 'nor with forged claims');
select tests.act_as_anon();
select is(pg_temp.error('enterprise'), '42501', 'nor anon');
select tests.act_as_owner();
select is((select plan_id from public.tenants, made where id = a), 'startup', 'so the plan is who may set it''s');

select * from finish();
rollback;
