begin;
select plan(8);

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

create temp view expiries as
select stripe_subscription_id as subscription, expires_at from private.credit_grants order by stripe_subscription_id;

select pg_temp.month('none', '2030-02-28Z', 1, 0, 'sub_1');
select pg_temp.month('one', '2030-02-28Z', 10, 1, 'sub_2');
select pg_temp.month('twelve', '2030-02-28Z', 100, 12, 'sub_3');
select pg_temp.month('never', '2030-02-28Z', 1000, null, 'sub_4');
select pg_temp.month('mixed 0', '2030-02-28Z', 5000, 0, 'sub_5');
select pg_temp.month('mixed 2', '2030-02-28Z', 5000, 2, 'sub_5');
select pg_temp.month('open 0', '2030-02-28Z', 50000, 0, 'sub_6');
select pg_temp.month('open null', '2030-02-28Z', 50000, null, 'sub_6');
select is(pg_temp.settle('2030-02-01Z'), 111111::bigint, 'credits of all sorts');
select results_eq(
  'table expiries',
  $$ values ('sub_1', '2030-02-28Z'::timestamptz), ('sub_2', '2030-03-28Z'), ('sub_3', '2031-02-28Z'), ('sub_4', 'infinity'),
       ('sub_5', '2030-04-28Z'), ('sub_6', 'infinity') $$,
  'are good until the plan''s months after their own; of several plans, the most'
);
select is(pg_temp.settle('2030-02-28Z'), 111110::bigint, 'they expire one');
select is(pg_temp.settle('2030-03-28Z'), 111100::bigint, 'after');
select is(pg_temp.settle('2030-04-28Z'), 101100::bigint, 'the');
select is(pg_temp.settle('2031-02-28Z'), 101000::bigint, 'other');
select is(pg_temp.settle('9999-01-01Z'), 101000::bigint, 'and those that never do, never');

select pg_temp.month('late', '2033-03-01Z', 7, 1, 'sub_7');
select pg_temp.settle('2033-03-05Z');
select is((select expires_at from expiries where subscription = 'sub_7'), '2033-04-01Z', 'late ones that would be good still are until then');

select * from finish();
rollback;
