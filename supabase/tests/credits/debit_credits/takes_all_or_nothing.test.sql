begin;
select plan(12);

select tests.create_tenant('acme', 'free');
select tests.set_clock('acme');
create function pg_temp.debit(p_amount bigint) returns text language sql as $$
  select (d.allowed, d.amount, d.balance, d.reason, d.entry_id is not null)::text
  from debit_credits(tests.tenant_id('acme'), p_amount, 'work') d
$$;

select is(pg_temp.debit(1), '(f,1,0,insufficient_credits,f)', 'where nothing was granted nothing is taken');
select is((select count(*) from public.credit_ledger), 0::bigint, 'without an entry');
select is((select (balance, due_at)::text from private.credit_accounts), '(0,infinity)', 'of an account that is made for it');
select grant_credits(tests.tenant_id('acme'), 60, 'gift', tests.noon() + interval '5 days');
select grant_credits(tests.tenant_id('acme'), 40, 'gift', tests.noon() + interval '9 days');
select is(pg_temp.debit(101), '(f,101,100,insufficient_credits,f)', 'one more than there is');
select is(pg_temp.debit(9007199254740991), '(f,9007199254740991,100,insufficient_credits,f)', 'or far more');
select is(
  (select (count(*), sum(amount), (select sum(remaining) from private.credit_grants), (select balance from private.credit_accounts))::text
    from public.credit_ledger), '(2,100,100,100)', 'leaves everything as it is'
);
select is(pg_temp.debit(100), '(t,100,0,,t)', 'exactly what there is can be taken');
select is(
  (select (max(balance) filter (where kind = 'grant'), min(balance), sum(amount))::text from public.credit_ledger), '(100,0,0)', 'to nothing'
);
select is(pg_temp.debit(1), '(f,1,0,insufficient_credits,f)', 'after which there is nothing');
select is((select count(*) from public.credit_ledger), 3::bigint, 'and nothing is booked');
select grant_credits(tests.tenant_id('acme'), 9007199254740991, 'gift');
select is(pg_temp.debit(9007199254740991), '(t,9007199254740991,0,,t)', 'as much as JSON holds exactly can be taken');
select is(
  (select entry_id from debit_credits(tests.tenant_id('acme'), 1, 'work')), null, 'a denial has no entry'
);

select * from finish();
rollback;
