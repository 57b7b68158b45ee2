begin;
select plan(11);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');
create function pg_temp.used() returns bigint language sql as $$
  select used from check_tenant_quota(tests.tenant_id('acme'), 'tokens')
$$;
create function pg_temp.fault(p_amounts text, p_keys text, p_metric text default 'tokens') returns text language sql as $$
  select tests.error_of(format(
    'select consume_quota_batch(tests.tenant_id(''acme''), %L, %L, idempotency_keys => %L)', p_metric, p_amounts, p_keys
  ))
$$;

create temp table first as
select * from consume_quota_batch(
  tests.tenant_id('acme'), 'tokens', '{100, 9990, 20, 20, 7}', idempotency_keys => '{k1, k2, k3, k3, null}'
) with ordinality;
select results_eq(
  'select allowed, used from first order by ordinality',
  $$ values (true, 100::bigint), (false, 100), (true, 120), (true, 120), (true, 127) $$,
  'a key that comes twice in a call is taken once'
);
select is(pg_temp.used(), 127::bigint, 'and counted once');

select results_eq(
  $$ select allowed, used from consume_quota_batch(
       tests.tenant_id('acme'), 'tokens', '{20, 100, 5, 7}', idempotency_keys => '{k3, k1, k4, null}') $$,
  $$ values (true, 120::bigint), (true, 100), (true, 132), (true, 139) $$,
  'a retry is answered as the first was, and what is new beside it is taken'
);
select is(pg_temp.used(), 139::bigint, 'once');
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 5, idempotency_key => 'k4')), '(t,132)',
  'its keys are those of single calls'
);
select is(
  (select allowed from consume_quota_batch(tests.tenant_id('acme'), 'tokens', '{9861}', idempotency_keys => '{k2}')), true,
  'a denial was not kept: its key may be granted later'
);
select is(pg_temp.fault('{101}', '{k1}'), 'PT409 idempotency_key_reused', 'a key is bound to its amount');
select is(pg_temp.fault('{1, 100}', '{null, k1}', 'embeddings'), 'PT409 idempotency_key_reused', 'and its metric');
select is(pg_temp.fault('{1, 2}', '{k5, k5}', 'embeddings'), 'PT409 idempotency_key_reused', 'within one call, too');
select tests.act_as_owner();
select is_empty($$ select from private.quota_counters where metric = 'embeddings' $$, 'and such a call takes nothing');
select is(
  (select (allowed, used)::text
   from consume_quota_batch(tests.tenant_id('rival'), 'tokens', '{3}', idempotency_keys => '{k1}')),
  '(t,3)', 'another tenant''s key of the same name is another key'
);

select * from finish();
rollback;
