begin;
select plan(5);

create temp table made as select (create_tenant('A', 'trial')).id as a;
update public.tenants set plan_id = 'pro' where id = (select a from made);
select is((select trial_ends_at from public.tenants, made where id = a), null, 'whoever changes the plan ends the trial');
update public.tenants set clock_offset = '20 days' where id = (select a from made);
select private.expire_trials();
select is((select plan_id from public.tenants, made where id = a), 'pro', 'so a tenant that pays does not fall to free');
update public.tenants set plan_id = 'trial' where id = (select a from made);
select is(
  (select trial_ends_at from public.tenants, made where id = a), now() + interval '34 days', 'or begins one, in the tenant''s time'
);
update public.tenants set plan_id = 'pro', trial_ends_at = now() + interval '90 days' where id = (select a from made);
select is(
  (select trial_ends_at from public.tenants, made where id = a), now() + interval '90 days', 'an end that is given stays'
);
update public.tenants set name = 'B' where id = (select a from made);
select is((select trial_ends_at from public.tenants, made where id = a), now() + interval '90 days', 'whatever else changes');

select * from finish();
rollback;
