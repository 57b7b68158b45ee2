begin;
select plan(7);

select tests.create_user('ann');
select tests.create_user('ben');
select tests.create_tenant('acme', 'startup');
select tests.create_tenant('corp', 'enterprise');
select tests.create_tenant('free', 'unlimited');
select tests.create_tenant('team', 'pro');
select tests.create_tenant('rival', 'startup');
select tests.set_clock(name) from unnest(array['acme', 'corp', 'free', 'team', 'rival']) name;
update public.tenants set created_at = now() + case slug when 'acme' then 1 when 'corp' then 2 when 'free' then 3 else 4 end * interval '1 second';
select tests.add_member(name, 'ann', 'editor') from unnest(array['acme', 'corp', 'free', 'team']) name;
select tests.add_member('acme', 'ben', 'viewer');
select tests.add_member('rival', 'ben', 'owner');

select tests.act_as_user('ann');
select consume_quota(tests.tenant_id(name), 'api_calls', 7) from unnest(array['acme', 'corp', 'free', 'team']) name;
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3);
select tests.act_as_service_role();
select consume_quota(tests.tenant_id('acme'), 'api_calls', 100, tests.user_id('ben')::text);
prepare limits as
select tier, requests, requests_remaining, requests_reset_at, analysis_runs, analysis_runs_remaining, analysis_runs_reset_at
from get_rate_limit_usage();
create temp table until as
select tests.noon() + interval '12 hours' as tomorrow, tests.noon() + interval '1 minute' as next_minute,
  date_trunc('month', now(), 'UTC') + interval '2 months' as next_month;
grant select on until to authenticated;

select tests.act_as_user('ann');
select results_eq(
  'limits',
  $$ select v.tier, v.a, v.b, case v.tier when 'pro' then next_minute when 'unlimited' then next_month else tomorrow end, v.c, v.d,
       case v.tier when 'unlimited' then next_month when 'pro' then null else tomorrow end
     from until, (values
       ('startup', 1000::bigint, 993::bigint, 20::bigint, 17::bigint), ('enterprise', 10000, 9993, 500, 500),
       ('unlimited', null, null, null, null), ('pro', 120, 113, null, null)) v (tier, a, b, c, d) $$,
  'in each tenant by its tier, null for what is unlimited'
);
select tests.act_as_user('ben');
select results_eq(
  $$ select tier, requests_remaining, analysis_runs_remaining from get_rate_limit_usage() order by 2 $$,
  $$ values ('startup', 900::bigint, 20::bigint), ('startup', 1000, 20) $$, 'another member''s own'
);
select results_eq(
  $$ select tenant_id, tier, requests_remaining from get_rate_limit_usage(tests.tenant_id('acme')) $$,
  $$ values (tests.tenant_id('acme'), 'startup', 900::bigint) $$, 'or of one tenant'
);

-- The month is what counts when it has less left than the day.
select tests.act_as_service_role();
select consume_quota(tests.tenant_id('acme'), 'api_calls', 900, tests.user_id('ben')::text);
select tests.act_as_owner();
update private.quota_counters set used = 19990 where period = 'month' and subject = tests.user_id('ben')::text;
select tests.set_clock('acme', '1 day');
select tests.act_as_user('ben');
select is(
  (select (requests, requests_remaining, requests_reset_at)::text from get_rate_limit_usage(tests.tenant_id('acme'))),
  (select (20000, 10, date_trunc('month', tests.noon(), 'UTC') + interval '1 month')::text), 'the window with the least left'
);
select tests.act_as_service_role();
select is_empty('select get_rate_limit_usage()', 'the service role is in no tenant');
select tests.act_as_owner();
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
select tests.act_as_user('ben');
select set_eq('select tenant_id from get_rate_limit_usage()', array[tests.tenant_id('rival')], 'nor a member in a suspended one');
select tests.act_as_user('nobody');
select is_empty('select get_rate_limit_usage()', 'a stranger has none');

select * from finish();
rollback;
