begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
create function pg_temp.take(p_tokens bigint, p_messages bigint, p_embeddings bigint) returns setof public.quota_answer
language sql as $$
  select * from public.consume_quotas(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object('metric', 'tokens', 'amount', p_tokens),
    jsonb_build_object('metric', 'chat_messages', 'amount', p_messages),
    jsonb_build_object('metric', 'embeddings', 'amount', p_embeddings)
  ))
$$;

select results_eq(
  'select allowed, metric, period::text, limit_value, used, remaining, reason, decision_id from pg_temp.take(9000, 60, 10)',
  $$ values (true, 'tokens', 'day', 10000::bigint, 9000::bigint, 1000::bigint, null, null::uuid),
       (true, 'chat_messages', 'day', 100, 60, 40, null, null), (true, 'embeddings', 'day', 50, 10, 40, null, null) $$,
  'items that fit are taken together'
);
select results_eq(
  'select allowed, metric, limit_value, used, remaining, reason, decision_id is not null from pg_temp.take(1001, 1, 41)',
  $$ values (false, 'tokens', 10000::bigint, 9000::bigint, 1000::bigint, 'quota_exceeded', true),
       (false, 'chat_messages', 100, 60, 40, 'denied_together', false),
       (false, 'embeddings', 50, 10, 40, 'quota_exceeded', true) $$,
  'where some do not, none is'
);
select set_eq(
  'select metric, used, allowed from private.quota_counters',
  $$ values ('tokens', 9000::bigint, 1::bigint), ('chat_messages', 60, 1), ('embeddings', 10, 1) $$, 'and nothing is counted'
);
select set_eq(
  'select metric, amount, used from public.quota_decisions',
  $$ values ('tokens', 1001::bigint, 9000::bigint), ('embeddings', 41, 10) $$, 'but the receipts of what was denied'
);
select set_eq(
  'select metric, denied from private.quota_denials', $$ values ('tokens', 1::bigint), ('embeddings', 1) $$, 'and the denials'
);
select results_eq(
  'select allowed, used from pg_temp.take(1000, 40, 40)', $$ values (true, 10000::bigint), (true, 100), (true, 50) $$,
  'the rest fits together'
);
select is(
  (select (allowed, used)::text from consume_quotas(tests.tenant_id('acme'), '[{"metric": "executions"}]')), '(t,)',
  'an item without an amount is one, and without a limit allowed'
);
select is(
  (select (allowed, used)::text from consume_quotas(tests.tenant_id('acme'), '[{"metric": "api_calls"}]')), '(t,1)', 'it is counted as one'
);

select * from finish();
rollback;
