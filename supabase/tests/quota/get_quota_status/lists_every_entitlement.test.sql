begin;
select plan(5);

select tests.create_user('ann');
select tests.create_user('ben');
select tests.create_tenant('acme', 'startup');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('acme', 'ben', 'viewer');
insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (tests.tenant_id('acme'), 'seats', 'none', 3);
select tests.act_as_user('ann');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 5);
select consume_quota(tests.tenant_id('acme'), 'seats', 2);
select tests.act_as_service_role();
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 7);
prepare status as
select metric, unit, kind::text, period::text, per::text, limit_value, used, is_override, resets_at is not null
from get_quota_status(tests.tenant_id('acme'));

select tests.act_as_user('ann');
select results_eq(
  'status',
  $$ values
       ('analysis_runs', 'run', 'counter', 'day', 'subject', 20::bigint, 5::bigint, false, true),
       ('analysis_runs', 'run', 'counter', 'month', 'subject', 200, 5, false, true),
       ('api_calls', 'request', 'counter', 'day', 'subject', 1000, 0, false, true),
       ('api_calls', 'request', 'counter', 'month', 'subject', 20000, 0, false, true),
       ('seats', 'seat', 'gauge', 'none', 'tenant', 3, 2, true, false) $$,
  'with what the caller used of their own limits, and all of the tenant''s'
);
select tests.act_as_user('ben');
select set_eq(
  $$ select metric, used from get_quota_status(tests.tenant_id('acme')) where used > 0 $$, $$ values ('seats', 2::bigint) $$,
  'another member sees their own'
);
select tests.act_as_service_role();
select is(
  (select max(used) from get_quota_status(tests.tenant_id('acme')) where metric = 'analysis_runs'), 7::bigint,
  'the service role, what is nobody''s'
);
select tests.act_as_owner();
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('acme');
select tests.act_as_user('ann');
select set_eq(
  $$ select metric, used from get_quota_status(tests.tenant_id('acme')) where used > 0 $$, $$ values ('seats', 2::bigint) $$,
  'a window that ended counts nothing'
);
select is(
  (select min(resets_at) from get_quota_status(tests.tenant_id('acme'))),
  date_trunc('day', now() + interval '40 days', 'UTC') + interval '1 day', 'and the one of now is shown'
);

select * from finish();
rollback;
