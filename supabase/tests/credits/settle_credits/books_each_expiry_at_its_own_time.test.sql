begin;
select plan(9);

select tests.create_tenant('acme', 'free');
select private.lock_credit_account(tests.tenant_id('acme'));
create function pg_temp.month(
  p_line text, p_end timestamptz, p_credits numeric, p_rollover int default 0, p_subscription text default 'sub_1'
) returns void language sql set timezone = 'UTC' as $$
  insert into private.credit_months values
    (tests.tenant_id('acme'), p_line, p_end - interval '1 month', p_end, p_subscription, p_credits, p_rollover)
$$;
create function pg_temp.settle(p_at timestamptz) returns bigint language sql as $$
  select private.settle_credits(tests.tenant_id('acme'), p_at)
$$;
create temp view entries as
select kind::text, amount, balance, effective_at, expires_at from public.credit_ledger order by id;

select pg_temp.month('c', '2030-04-03Z', 30, 1, 'sub_c'); -- granted first, good for longest
select pg_temp.month('a', '2030-05-01Z', 10, 0, 'sub_a');
select pg_temp.month('b', '2030-05-02Z', 20, 0, 'sub_b');
select pg_temp.month('b2', '2030-05-02Z', 25, 0, 'sub_b2');
select pg_temp.month('spent', '2030-05-02Z', 5, 0, 'sub_s');
select pg_temp.month('next', '2030-06-10Z', 100, 0, 'sub_n');
select is(pg_temp.settle('2030-04-10Z'), 90::bigint, 'five grants');
select private.book_credits(tests.tenant_id('acme'), 'debit', jsonb_build_object(id, -5), 'spent', '2030-04-11Z')
from private.credit_grants where stripe_subscription_id = 'sub_s';
select is(pg_temp.settle('2030-04-30 23:59:59.999999Z'), 85::bigint, 'expire no moment before');
select is(pg_temp.settle('2030-05-10Z'), 100::bigint, 'and are all gone a month later');
select results_eq(
  'select kind, amount, balance, effective_at from entries offset 6',
  $$ values ('expiry', -10::bigint, 75::bigint, '2030-05-01Z'::timestamptz), ('expiry', -20, 55, '2030-05-02Z'),
       ('expiry', -25, 30, '2030-05-02Z'), ('expiry', -30, 0, '2030-05-03Z'), ('grant', 100, 100, '2030-05-10Z') $$,
  'each at its own time, before what is granted now; what was spent does not'
);
select results_eq(
  $$ select l.grants, l.reason from public.credit_ledger l where l.kind = 'expiry' order by id limit 1 $$,
  $$ select jsonb_build_object(g.id::text, -10), 'expired' from private.credit_grants g where g.stripe_subscription_id = 'sub_a' $$,
  'and says of which grant it is'
);
select is((select sum(remaining) from private.credit_grants where expires_at < '2030-06-01Z'), 0::numeric, 'nothing is left of them');
select is((select sum(granted) from private.credit_grants), 190::numeric, 'though they were granted');
select pg_temp.settle('2030-05-11Z');
select is((select count(*) from entries), 11::bigint, 'they expire once');
select is_empty(
  'select id from (select id, effective_at < lag(effective_at) over (order by id) as is_earlier from public.credit_ledger) l where is_earlier',
  'no entry is dated before an earlier one'
);

select * from finish();
rollback;
