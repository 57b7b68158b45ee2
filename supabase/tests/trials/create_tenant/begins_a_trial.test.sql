begin;
select plan(6);

select tests.create_user('ann');
select tests.act_as_user('ann');
create temp table made as select * from create_tenant('Acme', 'trial');
create temp table free as select * from create_tenant('Acme', 'free');
select tests.act_as_owner();
select is((select trial_ends_at from made), now() + interval '14 days', 'a plan with trial days begins a trial');
select results_eq(
  $$ select e.tenant_id, action, entity_type, entity_id, actor_type::text, actor_id, old_values, new_values
     from public.audit_events e where event_type = 'trial_created' $$,
  $$ select id, 'created', 'tenant', id::text, 'tenant', tests.user_id('ann')::text, null::jsonb,
       jsonb_build_object('plan_id', 'trial', 'trial_ends_at', now() + interval '14 days') from made $$,
  'which is recorded'
);
select is((select trial_ends_at from free), null, 'another plan begins none');
select is((select count(*) from public.audit_events where event_type = 'trial_created'), 1::bigint, 'nor is one recorded');
update public.billing_plans set trial_days = 30 where id = 'pro';
select is((select trial_ends_at from create_tenant('Acme', 'pro')), now() + interval '30 days', 'it is as long as the plan says');
select is((select count(*) from public.audit_events where event_type = 'trial_created'), 2::bigint, 'on any such plan');

select * from finish();
rollback;
