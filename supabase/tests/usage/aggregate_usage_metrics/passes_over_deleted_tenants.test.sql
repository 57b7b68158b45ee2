begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select record_usage(tests.tenant_id(name),
  '[{"event_id": "a", "event_type": "chat_message", "tokens_consumed": 5, "metadata": {"session_id": "s"}}]')
from unnest(array['acme', 'rival']) name;
select consume_quota(tests.tenant_id('rival'), 'tokens', 10001);
select aggregate_usage_metrics();
select record_usage(tests.tenant_id(name), '[{"event_id": "b", "event_type": "search", "tokens_consumed": 5}]')
from unnest(array['acme', 'rival']) name;
delete from public.tenants where id = tests.tenant_id('rival');

select isnt_empty(
  $$ select from public.tenant_usage_realtime where tenant_id = tests.tenant_id('rival') $$,
  'a tenant that goes leaves its events'
);
select is(
  (select (events_processed, buckets_touched)::text from aggregate_usage_metrics()), '(1,3)', 'which are counted no more'
);
select is(tests.error_of($$ select recompute_usage_metrics('-infinity', 'infinity') $$), null, 'nor anew');
select is_empty(
  $$ select tenant_id from public.tenant_usage_metrics where tenant_id <> tests.tenant_id('acme')
     union all select tenant_id from public.tenant_metric_usage where tenant_id <> tests.tenant_id('acme')
     union all select tenant_id from private.usage_rollups where tenant_id <> tests.tenant_id('acme')
     union all select tenant_id from private.chat_sessions where tenant_id <> tests.tenant_id('acme')
     union all select tenant_id from private.usage_batches $$,
  'and nothing of it remains'
);
select is(
  (select array_agg(total_tokens_used) from public.tenant_usage_metrics), array[10, 10, 10]::bigint[], 'the others are counted'
);
select is((select sum(total_tokens_used) from get_multi_tenant_stats()), 10::numeric, 'and read');

select * from finish();
rollback;
