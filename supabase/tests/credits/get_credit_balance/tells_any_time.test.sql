begin;
select plan(26);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
create function pg_temp.at(p_after interval) returns bigint language sql as $$
  select get_credit_balance(tests.tenant_id('acme'), tests.noon() + p_after)
$$;
create function pg_temp.now() returns bigint language sql as $$ select get_credit_balance(tests.tenant_id('acme')) $$;
-- The time of an entry, by its number.
create function pg_temp.entry(p_number int) returns interval language sql as $$
  select effective_at - tests.noon() from public.credit_ledger where tenant_id = tests.tenant_id('acme') order by id offset p_number - 1 limit 1
$$;

select is(pg_temp.now(), 0::bigint, 'a tenant that never had credits has none');
select is(pg_temp.at('1 year'), 0::bigint, 'at any time');
select tests.set_clock('acme');
select grant_credits(tests.tenant_id('rival'), 1000, 'gift', now() + interval '1 hour');
select grant_credits(tests.tenant_id('acme'), 100, 'gift', tests.noon() + interval '10 days');
select tests.set_clock('acme', '1 day');
select grant_credits(tests.tenant_id('acme'), 7, 'gift');
select debit_credits(tests.tenant_id('acme'), 30, 'work');
select tests.set_clock('acme', '2 days');
select grant_credits(tests.tenant_id('acme'), 5, 'gift', tests.noon() + interval '20 days');

select is(pg_temp.now(), 82::bigint, 'now it is what is left');
select is(get_credit_balance(tests.tenant_id('acme'), '-infinity'), 0::bigint, 'before anything it is nothing');
select is(pg_temp.at(pg_temp.entry(1) - interval '1 microsecond'), 0::bigint, 'until the first entry');
select is(pg_temp.at(pg_temp.entry(1)), 100::bigint, 'at its time it is in it');
select is(pg_temp.at('1 day'), 100::bigint, 'and stays so');
select is(pg_temp.at(pg_temp.entry(3) - interval '1 microsecond'), 107::bigint, 'until the next');
select is(pg_temp.at(pg_temp.entry(3)), 77::bigint, 'what is taken is');
select is(pg_temp.at('10 days -1 microsecond'), 82::bigint, 'in the future it is what is left then');
select is(pg_temp.at('10 days'), 12::bigint, 'without what expires until then');
select is(pg_temp.at('20 days'), 7::bigint, 'each at its time');
select is(get_credit_balance(tests.tenant_id('acme'), 'infinity'), 7::bigint, 'at the end it is what never expires');

select tests.set_clock('acme', '10 days -1 microsecond');
select is(pg_temp.now(), 82::bigint, 'until the moment');
select tests.set_clock('acme', '10 days');
select is(pg_temp.now(), 12::bigint, 'when it expires it is gone, booked or not');
select is((select count(*) from public.credit_ledger where kind = 'expiry'), 0::bigint, 'which it is not');
select tests.set_clock('acme', '25 days');
create temp table unbooked as
select d as after, pg_temp.at(d) as balance
from unnest(array['0', '1 hour', '1 day', '2 days', '10 days -1 microsecond', '10 days', '11 days', '20 days', '20 days 1 microsecond', '24 days', '40 days']::interval[]) d;
select is(pg_temp.now(), 7::bigint, 'so it is of several');
select is(pg_temp.at('10 days'), 12::bigint, 'and for times that have passed');
select is(private.settle_due_credits(), 1, 'when it is booked');
select is_empty('select after from unbooked where balance <> pg_temp.at(after)', 'all is as before');
select is(pg_temp.now(), 7::bigint, 'now as well');
select debit_credits(tests.tenant_id('acme'), 7, 'work');
select is_empty('select after from unbooked where after < ''25 days'' and balance <> pg_temp.at(after)', 'what comes later changes no past');
select is(pg_temp.at('40 days'), 0::bigint, 'but what comes after it');

-- Several entries of one time.
select private.book_credits(
  tests.tenant_id('acme'), 'grant', jsonb_build_object((select max(id) from private.credit_grants where expires_at = 'infinity'), a), 'gift',
  tests.noon() + interval '26 days'
)
from unnest(array[1, 10, 100]) a;
select is(pg_temp.at('26 days'), 111::bigint, 'of several entries of one time the last counts');
select is(pg_temp.at('26 days -1 microsecond'), 0::bigint, 'and a moment before none');
select is(get_credit_balance(tests.tenant_id('rival')), 1000::bigint, 'all by the clock of the tenant');

select * from finish();
rollback;
