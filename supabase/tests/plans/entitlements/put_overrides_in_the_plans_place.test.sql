begin;
select plan(8);

select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
prepare in_force as
select metric, period::text, per::text, limit_value, enforcement::text, is_override
from public.entitlements where tenant_id = tests.tenant_id('acme') and metric = 'api_calls'
order by entitlements.period, entitlements.per;

select results_eq(
  'in_force',
  $$ values ('api_calls', 'day', 'subject', 1000::bigint, 'hard', false),
       ('api_calls', 'month', 'subject', 20000, 'hard', false) $$,
  'the plan''s limits'
);

insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'api_calls', 'day', 'subject', 7);
select results_eq(
  'in_force',
  $$ values ('api_calls', 'day', 'subject', 7::bigint, 'hard', true),
       ('api_calls', 'month', 'subject', 20000, 'hard', false) $$,
  'an override replaces the plan''s of its window'
);

update public.tenant_limits set limit_value = null;
select results_eq(
  'in_force',
  $$ values ('api_calls', 'day', 'subject', null::bigint, 'hard', true),
       ('api_calls', 'month', 'subject', 20000, 'hard', false) $$,
  'an override of null lifts it'
);

delete from public.tenant_limits;
insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'api_calls', 'minute', 3), (tests.tenant_id('acme'), 'tokens', 'day', 9);
select results_eq(
  'in_force',
  $$ values ('api_calls', 'minute', 'tenant', 3::bigint, 'hard', true),
       ('api_calls', 'day', 'subject', 1000, 'hard', false), ('api_calls', 'month', 'subject', 20000, 'hard', false) $$,
  'or adds a window that the plan lacks'
);
select is(
  (select (period, per, limit_value)::text from public.entitlements
   where tenant_id = tests.tenant_id('acme') and metric = 'tokens'),
  '(day,tenant,9)', 'of a metric that it lacks, too'
);
select is(
  (select count(*) from public.entitlements where tenant_id = tests.tenant_id('rival') and not is_override), 4::bigint,
  'another tenant keeps its plan''s'
);

update public.plan_limits set enforcement = 'soft' where plan_id = 'startup' and metric = 'api_calls';
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'api_calls', 'day', 'subject', 7);
select is(
  (select string_agg(enforcement::text, ' ' order by period) from public.entitlements
   where tenant_id = tests.tenant_id('acme') and metric = 'api_calls'),
  'hard soft soft', 'an override is as hard as the limit it replaces, an added one is hard'
);

update public.tenants set plan_id = 'trial' where id = tests.tenant_id('acme');
select results_eq(
  'in_force',
  $$ values ('api_calls', 'minute', 'tenant', 3::bigint, 'hard', true),
       ('api_calls', 'day', 'subject', 7, 'hard', true) $$,
  'a new plan is in force at once, and overrides outlive it'
);

select * from finish();
rollback;
