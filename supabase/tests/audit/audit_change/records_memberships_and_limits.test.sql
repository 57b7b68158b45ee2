begin;
select plan(3);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
delete from public.audit_events;
select tests.add_member('acme', 'ann', 'viewer');
update public.memberships set role = 'editor' where user_id = tests.user_id('ann');
delete from public.memberships where user_id = tests.user_id('ann');

select set_eq(
  $$ select event_type, tenant_id, entity_id, old_values ->> 'role' as old, new_values ->> 'role' as new
     from public.audit_events $$,
  $$ values
       ('membership_created', tests.tenant_id('acme'), tests.user_id('ann')::text, null, 'viewer'),
       ('membership_updated', tests.tenant_id('acme'), tests.user_id('ann')::text, 'viewer', 'editor'),
       ('membership_deleted', tests.tenant_id('acme'), tests.user_id('ann')::text, 'editor', null) $$,
  'a membership''s life is recorded, from role to role'
);

delete from public.audit_events;
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 5);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 6);
delete from public.tenant_limits;
select set_eq(
  $$ select event_type, tenant_id, entity_id, old_values ->> 'limit_value' as old, new_values ->> 'limit_value' as new
     from public.audit_events $$,
  $$ values
       ('tenant_limit_created', tests.tenant_id('acme'), 'tokens', null, '5'),
       ('tenant_limit_updated', tests.tenant_id('acme'), 'tokens', '5', '6'),
       ('tenant_limit_deleted', tests.tenant_id('acme'), 'tokens', '6', null) $$,
  'so is an override''s, from limit to limit'
);

delete from public.audit_events;
update public.plan_limits set limit_value = 11 where plan_id = 'free' and metric = 'workflows';
insert into public.platform_admins (user_id) values (tests.user_id('ann'));
delete from public.role_permissions where role = 'viewer' and permission = 'usage:read';
update public.billing_plans set name = 'Gratis' where id = 'free';
update public.plan_prices set unit_amount = 1 where id = 'pro_monthly';
update public.metrics set unit = 'Token' where id = 'tokens';
update public.model_prices set input_per_million = 1 where model = 'gpt-4o';
select set_eq(
  'select event_type, entity_id, tenant_id from public.audit_events',
  $$ values
       ('plan_limit_updated', 'free', null::uuid),
       ('platform_admin_created', tests.user_id('ann')::text, null),
       ('role_permission_deleted', 'viewer', null),
       ('billing_plan_updated', 'free', null),
       ('plan_price_updated', 'pro_monthly', null),
       ('metric_updated', 'tokens', null),
       ('model_price_updated', 'gpt-4o', null) $$,
  'and every change to the catalogue, the roles and the platform''s admins'
);

select * from finish();
rollback;
