begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
create function pg_temp.take(p_tokens bigint, p_messages bigint, p_key text default 'k2') returns setof public.quota_answer
language sql as $$
  select * from public.consume_quotas(tests.tenant_id('acme'), jsonb_build_array(
    jsonb_build_object('metric', 'tokens', 'amount', p_tokens, 'idempotency_key', 'k1'),
    jsonb_build_object('metric', 'chat_messages', 'amount', p_messages, 'idempotency_key', p_key)
  ))
$$;
create temp view used as select metric, used from private.quota_counters;

create temp table first as select * from pg_temp.take(9000, 60);
select consume_quota(tests.tenant_id('acme'), 'tokens', 1000);
select results_eq('select * from pg_temp.take(9000, 60)', 'select * from first', 'even where it would not fit a second time');
select set_eq('select * from used', $$ values ('tokens', 10000::bigint), ('chat_messages', 60) $$, 'and takes nothing');
select results_eq(
  $$ select allowed, used, reason from pg_temp.take(9000, 40, 'k3') $$,
  $$ values (true, 9000::bigint, null), (true, 100, null) $$, 'beside an item that is new'
);
select results_eq(
  $$ select allowed, used, reason from pg_temp.take(9000, 1, 'k4') $$,
  $$ values (true, 9000::bigint, null), (false, 100, 'quota_exceeded') $$, 'or one that is denied'
);
select set_eq('select * from used', $$ values ('tokens', 10000::bigint), ('chat_messages', 100) $$, 'only what is new is taken');
select is(tests.error_of('select pg_temp.take(9001, 60)'), 'PT409 idempotency_key_reused', 'a key is bound to its amount');
select is(
  tests.error_of($$ select consume_quotas(tests.tenant_id('acme'),
    '[{"metric": "embeddings", "idempotency_key": "k5"}, {"metric": "api_calls", "idempotency_key": "k5"}]') $$),
  'PT409 idempotency_key_reused', 'two items need two keys'
);
select is_empty($$ select from used where metric in ('embeddings', 'api_calls') $$, 'and nothing of such a call is kept');

select * from finish();
rollback;
