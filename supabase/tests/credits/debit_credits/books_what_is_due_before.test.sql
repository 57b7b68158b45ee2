begin;
select plan(9);

select tests.create_tenant('acme', 'free');
select tests.set_clock('acme');
create function pg_temp.debit(p_amount bigint) returns text language sql as $$
  select concat_ws(' ', d.allowed, d.balance, d.reason) from debit_credits(tests.tenant_id('acme'), p_amount, 'work') d
$$;
create function pg_temp.booked() returns text language sql as $$
  select string_agg(kind || ' ' || amount, ', ' order by id) from public.credit_ledger
$$;
select grant_credits(tests.tenant_id('acme'), 10, 'gift', tests.noon() + interval '5 days');
select grant_credits(tests.tenant_id('acme'), 20, 'gift', tests.noon() + interval '9 days');
insert into private.credit_months values
  (tests.tenant_id('acme'), 'il_1', tests.noon() + interval '6 days', tests.noon() + interval '36 days', 'sub_1', 300, 0);
select private.settle_tenant_credits(tests.tenant_id('acme'));

select tests.set_clock('acme', '5 days -1 minute');
select is(pg_temp.debit(1), 't 29', 'until it expires it is taken');
select tests.set_clock('acme', '5 days');
select is(pg_temp.debit(21), 'f 20 insufficient_credits', 'what has expired is not');
select is(pg_temp.booked(), 'grant 10, grant 20, debit -1, expiry -9', 'that it has is booked even where too little is left');
select is(
  (select effective_at from public.credit_ledger where kind = 'expiry'), tests.noon() + interval '5 days', 'at its own time'
);
select is(pg_temp.debit(20), 't 0', 'the rest is there');
select tests.set_clock('acme', '6 days');
select is(pg_temp.debit(1), 't 299', 'and what a month has brought that has begun');
select is(pg_temp.booked(), 'grant 10, grant 20, debit -1, expiry -9, debit -20, grant 300, debit -1', 'each is an entry');
select is(
  (select string_agg(balance::text, ' ' order by id) from public.credit_ledger), '10 30 29 20 0 300 299', 'with the balance after it'
);
select is_empty(
  'select from (select effective_at < lag(effective_at) over (order by id) as is_earlier from public.credit_ledger) l where is_earlier',
  'in the order of their times'
);

select * from finish();
rollback;
