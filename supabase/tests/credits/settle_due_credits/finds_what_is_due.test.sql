begin;
select plan(20);

select tests.create_tenant(name, 'free') from unnest(array['ends', 'begins', 'ahead', 'later', 'never']) name;
-- Tenants whose credits change at noon, or not.
select tests.set_clock(name, '-1 day') from unnest(array['ends', 'begins', 'later', 'never']) name;
create function pg_temp.due(p_tenant text) returns interval language sql as $$
  select due_at - tests.noon() from private.credit_accounts where tenant_id = tests.tenant_id(p_tenant) and due_at < 'infinity'
$$;
create function pg_temp.month(p_tenant text, p_start interval, p_end interval) returns void language sql as $$
  insert into private.credit_months values
    (tests.tenant_id(p_tenant), 'line ' || p_start, tests.noon() + p_start, tests.noon() + p_end, 'sub_' || p_tenant, 300, 0);
  select private.settle_tenant_credits(tests.tenant_id(p_tenant))
$$;

select grant_credits(tests.tenant_id('ends'), 10, 'gift', tests.noon() + interval '5 days');
select is(pg_temp.due('ends'), interval '5 days', 'an account is due when its credits expire');
select grant_credits(tests.tenant_id('ends'), 20, 'gift', tests.noon());
select is(pg_temp.due('ends'), interval '0', 'those that expire first');
select grant_credits(tests.tenant_id('ends'), 40, 'gift', tests.noon() + interval '9 days');
select grant_credits(tests.tenant_id('ends'), 80, 'gift');
select is(pg_temp.due('ends'), interval '0', 'others change nothing');
select pg_temp.month('begins', '0', '30 days');
select is(pg_temp.due('begins'), interval '0', 'or when a month begins');
select pg_temp.month('later', '1 microsecond', '30 days');
select grant_credits(tests.tenant_id('later'), 10, 'gift', tests.noon() + interval '40 days');
select is(pg_temp.due('later'), interval '1 microsecond', 'whichever comes first');
select grant_credits(tests.tenant_id('never'), 10, 'gift');
select is(pg_temp.due('never'), null, 'or never');
select debit_credits(tests.tenant_id('never'), 10, 'spent');
select is(pg_temp.due('never'), null, 'though it is spent');
select is(private.settle_due_credits(), 0, 'a day before nothing is due');

select tests.set_clock(name, '-1 microsecond') from unnest(array['ends', 'begins', 'later', 'never']) name;
select pg_temp.month('ahead', '0', '30 days'); -- by the real clock
select is(private.settle_due_credits(), 0, 'nor a moment before');
select is((select count(*) from public.credit_ledger), 7::bigint, 'so nothing is booked');
select tests.set_clock(name) from unnest(array['ends', 'begins', 'later', 'never']) name;
select is(private.settle_due_credits(), 2, 'then those that are due are settled, by the clocks of their tenants');
select results_eq(
  $$ select t.name, l.kind::text, l.amount from public.credit_ledger l join public.tenants t on t.id = l.tenant_id
     order by l.id desc, t.name limit 2 $$,
  $$ select * from (values ('ends', 'expiry', -20::bigint), ('begins', 'grant', 300)) e (name, kind, amount)
     order by tests.tenant_id(name) desc $$, 'and no others'
);
select is(pg_temp.due('ends'), interval '5 days', 'they are due again when something else expires');
select is(pg_temp.due('begins'), interval '30 days', 'as what was granted does');
select is(private.settle_due_credits(), 0, 'not before');
select debit_credits(tests.tenant_id('ends'), 10, 'spent');
select tests.set_clock('ends', '5 days');
select private.settle_due_credits();
select is(pg_temp.due('ends'), interval '9 days', 'what is spent does not expire');
select tests.set_clock('ahead', '1 day');
select is(private.settle_due_credits(), 1, 'a clock that is set ahead makes due what it passes');
select pg_temp.month('begins', '10 days', '40 days');
select is(pg_temp.due('begins'), interval '10 days', 'of what ends and what begins the earlier counts');
select private.settle_tenant_credits(tests.tenant_id('never'));
select is((select string_agg(due_at::text, '') from private.credit_accounts where tenant_id = tests.tenant_id('never')), 'infinity', 'what never is stays');
select tests.act_as_service_role();
select is(tests.error_of('select private.settle_due_credits()'), '42501', 'no API role settles');

select * from finish();
rollback;
