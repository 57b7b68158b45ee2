begin;
select plan(15);

create temp table made as
select (create_tenant('A', 'trial')).id as a, (create_tenant('B', 'trial')).id as b, (create_tenant('C', 'pro')).id as c;
select private.expire_trials(); -- of whatever else there is
select set_test_clock(id, '14 days') from public.tenants, made where id = c;
create function pg_temp.state(p_tenant uuid) returns text language sql as $$
  select concat_ws(' ', plan_id, trial_ends_at - now()) from public.tenants where id = p_tenant
$$;

select is(private.expire_trials(), 0, 'a trial lasts');
select set_test_clock(a, interval '14 days' - interval '1 microsecond') from made;
select is(private.expire_trials(), 0, 'to its last moment');
select set_test_clock(a, '14 days') from made;
select is(private.expire_trials(), 1, 'and is over then, in the tenant''s time');
select is((select pg_temp.state(a) from made), 'free', 'the tenant is on free, without a trial');
select is((select pg_temp.state(b) from made), 'trial 14 days', 'another''s, whose clock is behind, lasts');
select is((select pg_temp.state(c) from made), 'pro', 'who was on none stays');
select results_eq(
  $$ select tenant_id, action, entity_type, entity_id, actor_type::text, source::text, old_values, new_values from public.audit_events
     where event_type = 'trial_expired' $$,
  $$ select a, 'expired', 'tenant', a::text, 'system', 'database',
       jsonb_build_object('plan_id', 'trial', 'trial_ends_at', now() + interval '14 days'), '{"plan_id": "free", "trial_ends_at": null}'::jsonb
     from made $$,
  'which is recorded'
);
select is(private.expire_trials(), 0, 'again, none is over');
select is((select count(*) from public.audit_events where event_type = 'trial_expired'), 1::bigint, 'nor recorded twice');

select extend_trial(b, 10) from made;
select set_test_clock(b, '20 days') from made;
select is(private.expire_trials(), 0, 'one that was extended lasts longer');
select set_test_clock(b, '24 days') from made;
update public.tenants set status = 'suspended' from made where id = b;
update public.tenants set trial_ends_at = now() - interval '1 day', plan_id = 'pro' from made where id = c;
select is(private.expire_trials(), 2, 'all that are over end, of suspended tenants as well');
select is((select pg_temp.state(b) || pg_temp.state(c) from made), 'freefree', 'whatever the plan');
select is((select count(*) from public.audit_events where event_type = 'trial_expired'), 3::bigint, 'each is recorded');
select is(
  (select limit_value from public.entitlements, made where tenant_id = a and metric = 'workflows'), 10::bigint, 'the limits are those of free'
);
select tests.act_as_service_role();
select is(tests.error_of('select private.expire_trials()'), '42501', 'no API role ends them');

select * from finish();
rollback;
