begin;
select plan(11);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
select tests.set_clock('acme');
create function pg_temp.give(p_reason text, p_amount bigint, p_until interval, p_tenant text default 'acme') returns void language sql as $$
  select grant_credits(tests.tenant_id(p_tenant), p_amount, p_reason, tests.noon() + p_until)
$$;
select pg_temp.give('20 days', 100, '20 days');
select pg_temp.give('never', 50, null);
select pg_temp.give('10 days', 30, '10 days');
select pg_temp.give('10 days too', 20, '10 days');
select pg_temp.give('5 days', 5, '5 days');
select pg_temp.give('another tenant''s', 1000, '1 days', 'rival');
-- What is left, in the order in which it was granted.
create function pg_temp.debit(p_amount bigint) returns text language sql as $$
  select concat_ws(' ', d.allowed, d.amount, d.balance, d.reason) from debit_credits(tests.tenant_id('acme'), p_amount, 'work') d
$$;
create function pg_temp.left() returns text language sql as $$
  select string_agg(remaining::text, ' ' order by id) from private.credit_grants where tenant_id = tests.tenant_id('acme')
$$;

select is(pg_temp.debit(5), 't 5 200', 'a debit takes');
select is(pg_temp.left(), '100 50 30 20 0', 'what expires first');
select results_eq(
  $$ select l.grants from public.credit_ledger l where l.kind = 'debit' $$,
  $$ select jsonb_build_object(g.id, -5) from private.credit_grants g where g.granted = 5 $$, 'and names nothing else'
);
select pg_temp.debit(35);
select is(pg_temp.left(), '100 50 0 15 0', 'of what expires at once the older');
select results_eq(
  $$ select amount, balance, grants, reason, kind::text, expires_at from public.credit_ledger order by id desc limit 1 $$,
  $$ select -35::bigint, 165::bigint, jsonb_object_agg(g.id, case l.reason when '10 days' then -30 else -5 end), 'work', 'debit', null::timestamptz
     from private.credit_grants g join public.credit_ledger l on l.grants = jsonb_build_object(g.id, l.amount)
     where l.reason in ('10 days', '10 days too') $$,
  'one entry says how much of which'
);
select pg_temp.debit(16);
select is(pg_temp.left(), '99 50 0 0 0', 'then what expires later, though it came before');
select pg_temp.give('3 days', 3, '3 days');
select pg_temp.debit(4);
select is(pg_temp.left(), '98 50 0 0 0 0', 'what comes and expires before is taken before');
select pg_temp.debit(147);
select is(pg_temp.left(), '0 1 0 0 0 0', 'last what never expires');
select is(pg_temp.debit(1), 't 1 0', 'down to nothing');
select is(pg_temp.left(), '0 0 0 0 0 0', 'at all');
select is(get_credit_balance(tests.tenant_id('rival'), tests.noon() - interval '1 hour'), 1000::bigint, 'of the tenant''s own alone');

select * from finish();
rollback;
