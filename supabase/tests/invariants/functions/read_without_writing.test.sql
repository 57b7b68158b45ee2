begin;
select plan(10);

select tests.create_tenant('acme', 'trial');
select record_usage(tests.tenant_id('acme'),
  '[{"event_id": "a", "event_type": "chat_message", "metadata": {"session_id": "s"}}]');
select aggregate_usage_metrics();
select record_usage(tests.tenant_id('acme'), '[{"event_id": "b", "event_type": "search"}]');
create temp table calls as select * from unnest(array[
  'check_tenant_quota(tests.tenant_id(''acme''), ''tokens'')', 'get_quota_status(tests.tenant_id(''acme''))',
  'get_tenant_usage(tests.tenant_id(''acme''), ''-infinity'', ''infinity'')', 'get_today_usage(tests.tenant_id(''acme''))',
  'get_tenant_events(tests.tenant_id(''acme''))', 'get_top_consumers(''tokens'')', 'get_multi_tenant_stats()',
  'get_tenants_exceeding_quota()'
]) call;

select is_empty(
  $$ select proname from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^(get|check)_'
     and provolatile <> 's' $$,
  'what only reads says so'
);
select is_empty(
  $$ select proname from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^(get|check)_'
       and not exists (select from calls where call ~ ('^' || proname || '\(')) $$,
  'all of these'
);
set local transaction_read_only = on;
select is(tests.error_of('select * from ' || call), null,
  split_part(call, '(', 1) || ' may read where nothing may be written') from calls;

select * from finish();
rollback;
