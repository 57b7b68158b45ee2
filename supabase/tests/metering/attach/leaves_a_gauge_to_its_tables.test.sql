begin;
select plan(13);

select tests.create_user('ed');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ed', 'editor');
create table public.projects (id int primary key, tenant_id uuid);
create table public.drafts (id int primary key, tenant_id uuid);
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 5);
create function pg_temp.used() returns bigint language sql as $$
  select used from private.quota_counters
  where tenant_id = tests.tenant_id('acme') and metric = 'workflows' and period = 'none' and subject = ''
$$;

select tests.act_as_user('ed');
select lives_ok($$ select consume_quota(tests.tenant_id('acme'), 'workflows') $$, 'a gauge that no table counts is taken by members');
select tests.act_as_owner();
insert into public.projects values (1, tests.tenant_id('acme')), (2, tests.tenant_id('acme'));
insert into public.drafts values (1, tests.tenant_id('acme'));
select meter.attach('projects', 'workflows'), meter.attach('drafts', 'workflows');
select is(pg_temp.used(), 3::bigint, 'one that tables count is what they hold');

select tests.act_as_user('ed');
select is(tests.error_of(call), 'PT403 counted_by_table', call)
from (values
  ($$ select consume_quota(tests.tenant_id('acme'), 'workflows') $$),
  ($$ select consume_quota_batch(tests.tenant_id('acme'), 'workflows', array[1]) $$),
  ($$ select consume_quota_batches(format('[{"tenant_id": "%s", "metric": "workflows", "amounts": [1]}]', tests.tenant_id('acme'))::jsonb) $$),
  ($$ select consume_quotas(tests.tenant_id('acme'), '[{"metric": "workflows"}]') $$),
  ($$ select reserve_quota(tests.tenant_id('acme'), 'workflows', 1) $$)
) calls (call);
select lives_ok($$ select check_tenant_quota(tests.tenant_id('acme'), 'workflows') $$, 'asking is free');
select tests.act_as_owner();
select is(
  tests.error_of($$ select reset_quota_counter(tests.tenant_id('acme'), 'workflows') $$), 'PT400 counted_by_table', 'nor is it reset'
);
select is(pg_temp.used(), 3::bigint, 'nothing of this counted');

drop table public.drafts;
select meter.attach('projects', 'workflows');
select is(pg_temp.used(), 2::bigint, 'attached again, it forgets a table that was dropped');
insert into public.projects values (3, tests.tenant_id('acme'));
select is(pg_temp.used(), 3::bigint, 'and goes on');
select meter.detach('projects', 'workflows');
select is(pg_temp.used(), 0::bigint, 'without a table, there is nothing');

select * from finish();
rollback;
