begin;
select plan(6);

select tests.create_user('ann');
select tests.act_as_user('ann');
create temp table made as select * from create_tenant('  Acme Inc. ');

select is(
  (select (name, slug, plan_id, status, trial_ends_at, clock_offset)::text from made),
  '("Acme Inc.",acme-inc,free,active,,00:00:00)', 'a tenant on the free plan, with no trial to end'
);
select set_eq('select id from public.tenants', 'select id from made', 'the caller reads it at once');
select results_eq(
  'select tenant_id, user_id, role from public.memberships',
  $$ select id, tests.user_id('ann'), 'owner'::member_role from made $$, 'as its owner and only member'
);
select is(
  (select trial_ends_at from create_tenant('Tryout', 'trial')), now() + interval '14 days', 'a trial ends in 14 days'
);
select is((select count(*) from public.tenants), 2::bigint, 'a user may make a second tenant');

select tests.act_as_owner();
select results_eq(
  $$ select actor_type::text, actor_id from public.audit_events
     where event_type = 'tenant_created' and new_values ->> 'slug' = 'acme-inc' $$,
  $$ values ('tenant', tests.user_id('ann')::text) $$, 'which is audited as theirs'
);

select * from finish();
rollback;
