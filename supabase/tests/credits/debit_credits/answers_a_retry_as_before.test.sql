begin;
select plan(17);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
select tests.set_clock('acme');
select grant_credits(tests.tenant_id('acme'), 100, 'gift', tests.noon() + interval '5 days');
select grant_credits(tests.tenant_id('rival'), 100, 'gift');
create function pg_temp.debit(p_amount bigint, p_reason text, p_key text, p_tenant text default 'acme') returns public.credit_debit
language sql as $$ select * from debit_credits(tests.tenant_id(p_tenant), p_amount, p_reason, p_key) $$;
create function pg_temp.error(p_amount bigint, p_reason text, p_key text) returns text language sql as $$
  select tests.error_of(format('select pg_temp.debit(%L, %L, %L)', p_amount, p_reason, p_key))
$$;
create function pg_temp.balance() returns bigint language sql as $$
  select balance from private.credit_accounts where tenant_id = tests.tenant_id('acme')
$$;

create temp table answers as select pg_temp.debit(10, 'work', 'k1') as first;
select is((select ((first).allowed, (first).balance)::text from answers), '(t,90)', 'a debit with a key');
select is((select pg_temp.debit(10, 'work', 'k1') = first from answers), true, 'is answered as before');
select pg_temp.debit(1, 'work', null);
select is((select pg_temp.debit(10, 'work', 'k1') = first from answers), true, 'whatever happens between');
select is(pg_temp.balance(), 89::bigint, 'and taken once');
select pg_temp.debit(1, 'work', null);
select is(pg_temp.balance(), 88::bigint, 'without a key each is one of its own');
select is(pg_temp.error(11, 'work', 'k1'), 'PT409 idempotency_key_reused', 'another amount is another debit');
select is(pg_temp.error(10, 'play', 'k1'), 'PT409 idempotency_key_reused', 'as is another reason');
select is(
  tests.error_of($$ select grant_credits(tests.tenant_id('acme'), 10, 'work', null, 'k1') $$), 'PT409 idempotency_key_reused', 'and a grant'
);
select is(pg_temp.balance(), 88::bigint, 'which take nothing');
select is((pg_temp.debit(10, 'work', 'k1', 'rival')).balance, 90::bigint, 'keys are the tenant''s own');

select is((pg_temp.debit(89, 'much', 'k2')).allowed, false, 'what was denied');
select is((pg_temp.debit(88, 'less', 'k2')).balance, 0::bigint, 'leaves its key to another');
select pg_temp.debit(5, 'later', 'k3');
select grant_credits(tests.tenant_id('acme'), 5, 'gift', tests.noon() + interval '5 days');
select is((pg_temp.debit(5, 'later', 'k3')).allowed, true, 'or to itself, once there is enough');
select is(
  (select idempotency_key from public.credit_ledger where id = (pg_temp.debit(5, 'later', 'k3')).entry_id), 'k3', 'and is answered from then on'
);
select is(pg_temp.balance(), 0::bigint, 'with the balance after it');
select grant_credits(tests.tenant_id('acme'), 7, 'gift', tests.noon() + interval '5 days');
select tests.set_clock('acme', '6 days');
select is((select pg_temp.debit(10, 'work', 'k1') = first from answers), true, 'the answer stays when what was left has expired');
select is(pg_temp.balance(), 7::bigint, 'a retry books nothing');

select * from finish();
rollback;
