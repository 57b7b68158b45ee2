begin;
select plan(11);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
select tests.set_clock('acme');
create function pg_temp.give(p_amount bigint, p_reason text, p_key text, p_tenant text default 'acme') returns public.credit_ledger
language sql as $$ select grant_credits(tests.tenant_id(p_tenant), p_amount, p_reason, tests.noon() + interval '5 days', p_key) $$;
create function pg_temp.error(p_amount bigint, p_reason text, p_key text) returns text language sql as $$
  select tests.error_of(format('select pg_temp.give(%L, %L, %L)', p_amount, p_reason, p_key))
$$;

create temp table answers as select pg_temp.give(10, 'gift', 'k1') as first;
select pg_temp.give(5, 'gift', 'k2');
select is((select pg_temp.give(10, 'gift', 'k1') = first from answers), true, 'a grant that is sent again is answered as before');
select is((select balance from private.credit_accounts), 15::bigint, 'and given once');
select is((select count(*) from private.credit_grants), 2::bigint, 'with one grant');
select is(pg_temp.error(11, 'gift', 'k1'), 'PT409 idempotency_key_reused', 'another amount is another grant');
select is(pg_temp.error(10, 'sorry', 'k1'), 'PT409 idempotency_key_reused', 'as is another reason');
select debit_credits(tests.tenant_id('acme'), 10, 'gift', 'k3');
select is(pg_temp.error(10, 'gift', 'k3'), 'PT409 idempotency_key_reused', 'and a debit');
select pg_temp.give(10, 'gift', null);
select pg_temp.give(10, 'gift', null);
select is((select balance from private.credit_accounts), 25::bigint, 'without a key each is one of its own');
select is((pg_temp.give(10, 'gift', 'k1', 'rival')).balance, 10::bigint, 'keys are the tenant''s own');
select tests.set_clock('acme', '6 days');
select is((select pg_temp.give(10, 'gift', 'k1') = first from answers), true, 'the answer stays when the credits have expired');
select is((select count(*) from public.credit_ledger where kind = 'expiry'), 0::bigint, 'a retry books nothing');
select is(pg_temp.error(10, 'gift', 'k4'), 'PT400 invalid_expires_at', 'but new ones would have expired already');

select * from finish();
rollback;
