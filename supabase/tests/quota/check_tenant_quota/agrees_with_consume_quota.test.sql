begin;
select plan(5);

select tests.create_user('ann');
select tests.create_tenant('acme', 'startup');
select tests.add_member('acme', 'ann', 'editor');
insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'tokens', 'day', 0), (tests.tenant_id('acme'), 'embeddings', 'none', null);
select tests.act_as_user('ann');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 15);

-- Granted, denied, excluded, unlimited and a gauge without a limit; a window's numbers are as they stand before the take.
create temp table checked as
select a.amount, c.*
from (values ('analysis_runs', 5), ('analysis_runs', 6), ('tokens', 1), ('embeddings', 9), ('seats', 9)) as a (metric, amount)
cross join lateral check_tenant_quota(tests.tenant_id('acme'), a.metric, a.amount) c;
select results_eq(
  $$ select metric, amount, allowed, period::text, limit_value, used, remaining, reason, decision_id from checked
     order by metric, amount $$,
  $$ values
       ('analysis_runs', 5, true, 'day', 20::bigint, 15::bigint, 5::bigint, null, null::uuid),
       ('analysis_runs', 6, false, 'day', 20, 15, 5, 'quota_exceeded', null),
       ('embeddings', 9, true, 'none', null, 0, null, null, null),
       ('seats', 9, true, 'none', null, 0, null, null, null),
       ('tokens', 1, false, 'day', 0, 0, 0, 'not_included', null) $$,
  'says what would be answered'
);
select tests.act_as_owner();
select is(
  (select string_agg(used::text, ' ') from tests.quota_counters), '15 15', 'takes nothing'
);
select is_empty('select from public.quota_decisions', 'and writes no receipt');

select tests.act_as_user('ann');
select is_empty(
  $$ select ch.metric, ch.amount from checked ch
     cross join lateral consume_quota(tests.tenant_id('acme'), ch.metric, ch.amount) co
     where ch.amount <> 5
       and (ch.allowed, ch.period, ch.limit_value, ch.resets_at, ch.reason)
         is distinct from (co.allowed, co.period, co.limit_value, co.resets_at, co.reason) $$,
  'what it said, is answered'
);
select is(
  (select allowed from consume_quota(tests.tenant_id('acme'), 'analysis_runs', 5)), true, 'what it granted is granted, too'
);

select * from finish();
rollback;
