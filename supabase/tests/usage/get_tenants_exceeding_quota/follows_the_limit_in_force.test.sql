begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
create function pg_temp.exceeding() returns table (name text, quota_limit bigint, quota_remaining bigint) language sql as $$
  select t.name, e.quota_limit, e.quota_remaining
  from get_tenants_exceeding_quota() e join public.tenants t on t.id = e.tenant_id
$$;
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "search", "tokens_consumed": 20000}]');
select bag_eq(
  'select * from pg_temp.exceeding()', $$ values ('acme', 10000::bigint, 10000::bigint) $$, 'more than the limit is over it'
);
select aggregate_usage_metrics();
select bag_eq(
  'select * from pg_temp.exceeding()', $$ values ('acme', 10000::bigint, 10000::bigint) $$, 'when it is counted, too'
);
update public.tenants set plan_id = 'pro' where id = tests.tenant_id('acme');
select is_empty('select * from pg_temp.exceeding()', 'a higher limit ends that at once');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 19999);
select bag_eq(
  'select * from pg_temp.exceeding()', $$ values ('acme', 19999::bigint, 19999::bigint) $$, 'as a lower one begins it'
);
select set_custom_quota(tests.tenant_id('acme'), 'tokens', null);
select is_empty('select * from pg_temp.exceeding()', 'and none is never exceeded');
delete from public.tenant_limits;
select consume_quota(tests.tenant_id('acme'), 'tokens', 499999);
select consume_quota(tests.tenant_id('acme'), 'tokens', 2);
select bag_eq(
  'select * from pg_temp.exceeding()', $$ values ('acme', 500000::bigint, 1::bigint) $$,
  'who was denied is listed, with what enforcement has left'
);

select tests.create_tenant('ahead', 'trial');
select record_usage(tests.tenant_id('ahead'), '[{"event_id": "a", "event_type": "search", "tokens_consumed": 20000}]');
select aggregate_usage_metrics();
update public.tenants set clock_offset = '5 days', plan_id = 'pro' where id = tests.tenant_id('ahead');
select is(
  (select quota_limit from pg_temp.exceeding() where name = 'ahead'), 10000::bigint,
  'a day that is over by the tenant''s clock exceeds what was its limit'
);
select record_usage(tests.tenant_id('ahead'), jsonb_build_array(jsonb_build_object(
  'event_id', 'b', 'event_type', 'search', 'event_timestamp', now(), 'tokens_consumed', 1
)));
select is(
  (select quota_limit from pg_temp.exceeding() where name = 'ahead'), 10000::bigint, 'while events of it wait, too'
);

select * from finish();
rollback;
