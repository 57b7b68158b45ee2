begin;
select plan(9);

select tests.create_tenant('acme', 'trial');
update public.tenants set clock_offset = '3 days' where id = tests.tenant_id('acme');
create function pg_temp.batches() returns bigint language sql as $$ select count(*) from private.usage_batches $$;

select consume_quota(tests.tenant_id('acme'), 'tokens', 10000);
select is(pg_temp.batches(), 0::bigint, 'what is granted leaves nothing to count');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select results_eq(
  'select tenant_id, first_ts, last_ts, events from private.usage_batches',
  $$ select tests.tenant_id('acme'), now() + interval '3 days', now() + interval '3 days', 0 $$,
  'a denial leaves a batch, by the tenant''s clock'
);
select is((select batch_id from public.quota_decisions), (select batch_id from private.usage_batches), 'which its receipt names');
select consume_quota(tests.tenant_id('acme'), 'tokens', 7);
select is(pg_temp.batches(), 1::bigint, 'again without a receipt, it leaves none');
select consume_quota(tests.tenant_id('acme'), 'chat_messages', 101);
select is(
  (select array_agg(batch_id) from public.quota_decisions where metric = 'chat_messages'), array[null]::bigint[],
  'nor does another metric''s'
);
select reserve_quota(tests.tenant_id('acme'), 'tokens', 20000);
select is(pg_temp.batches(), 1::bigint, 'nor a reservation, seen alike');
update private.quota_counters set used = 9999 where metric = 'tokens';
select reserve_quota(tests.tenant_id('acme'), 'tokens', 2);
select is(pg_temp.batches(), 2::bigint, 'but one that meets other counters does');
select is((select events_processed from aggregate_usage_metrics()), 0::bigint, 'there are no events in them');
select results_eq(
  $$ select period_type, period_start, quota_exceeded_count, total_tokens_used from public.tenant_usage_metrics order by 1 $$,
  $$ select type, date_trunc(field, now() + interval '3 days', 'UTC'), 2::bigint, 0::bigint
     from (values ('daily', 'day'), ('hourly', 'hour'), ('monthly', 'month')) as p (type, field) $$,
  'but denials, each counted once'
);

select * from finish();
rollback;
