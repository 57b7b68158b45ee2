begin;
select plan(13);

select tests.create_tenant('acme', 'free');
select tests.set_clock('acme');
create temp table made as
select g.*, 'limited' as name from grant_credits(tests.tenant_id('acme'), 30, 'sold by mail', tests.noon() + interval '5 days') g;
insert into made select g.*, 'endless' from grant_credits(tests.tenant_id('acme'), 70, 'sorry', idempotency_key => 'k1') g;

select results_eq(
  $$ select name, tenant_id, kind::text, amount, balance, reason, idempotency_key, expires_at from made order by id $$,
  $$ values ('limited', tests.tenant_id('acme'), 'grant', 30::bigint, 30::bigint, 'sold by mail', null, tests.noon() + interval '5 days'),
       ('endless', tests.tenant_id('acme'), 'grant', 70, 100, 'sorry', 'k1', null) $$,
  'grants are answered with their entries'
);
select is(
  (select bool_and(effective_at - tests.noon() between '0' and '5 minutes') from made), true, 'at the tenant''s time'
);
select set_eq(
  'select id, amount, balance, grants from made', 'select id, amount, balance, grants from public.credit_ledger', 'which are in the ledger'
);
select results_eq(
  $$ select granted, remaining, expires_at, stripe_subscription_id, month_end from private.credit_grants order by id $$,
  $$ values (30::bigint, 30::bigint, tests.noon() + interval '5 days', null, null::timestamptz), (70, 70, 'infinity', null, null) $$,
  'they are of no month; without an end they never expire'
);
select results_eq(
  $$ select grants from public.credit_ledger order by id $$, $$ select jsonb_build_object(id::text, granted) from private.credit_grants order by id $$,
  'each entry says of which grant it is'
);
select is((select balance from private.credit_accounts), 100::bigint, 'they add up');
select is((select due_at from private.credit_accounts), tests.noon() + interval '5 days', 'and are due when they expire');

select tests.set_clock('acme', '5 days');
select is(
  (select (g.balance, g.amount)::text from grant_credits(tests.tenant_id('acme'), 1, 'gift', tests.noon() + interval '6 days') g), '(71,1)',
  'what has expired by then is booked before'
);
select is(
  (select string_agg(kind || ' ' || balance, ', ' order by id) from public.credit_ledger), 'grant 30, grant 100, expiry 70, grant 71', 'in order'
);
select is((select due_at from private.credit_accounts), tests.noon() + interval '6 days', 'and due is what expires next');
select grant_credits(tests.tenant_id('acme'), 1, 'gift', tests.noon() + interval '7 days');
select is((select due_at from private.credit_accounts), tests.noon() + interval '6 days', 'not what expires after it');
select grant_credits(tests.tenant_id('acme'), 1, 'gift', 'infinity');
select is((select due_at from private.credit_accounts), tests.noon() + interval '6 days', 'nor what never does');
select is(
  (select array_agg(remaining order by id) from private.credit_grants), array[0, 70, 1, 1, 1]::bigint[], 'all of it is there'
);

select * from finish();
rollback;
