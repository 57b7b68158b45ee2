begin;
select plan(17);

select tests.create_tenant('acme', 'free');
select tests.create_tenant('rival', 'free');
create function pg_temp.entry(p_kind text, p_amount bigint, p_balance bigint, p_key text default null, p_tenant text default 'acme') returns text
language sql as $$
  select tests.error_of(format(
    'insert into public.credit_ledger (tenant_id, kind, amount, balance, grants, reason, effective_at, idempotency_key)
     values (%L, %L, %L, %L, ''{}'', ''test'', now(), %L)', tests.tenant_id(p_tenant), p_kind, p_amount, p_balance, p_key
  ))
$$;
create function pg_temp.account(p_balance bigint) returns text language sql as $$
  select tests.error_of(format(
    'insert into private.credit_accounts (tenant_id, balance) values (%L, %L)', tests.tenant_id('acme'), p_balance
  ))
$$;
create function pg_temp.granted(p_granted bigint, p_remaining bigint, p_subscription text default null) returns text language sql as $$
  select tests.error_of(format(
    'insert into private.credit_grants (tenant_id, granted, remaining, stripe_subscription_id, month_end, expires_at)
     values (%L, %L, %L, %L, ''2030-01-01Z'', ''2030-01-01Z'')', tests.tenant_id('acme'), p_granted, p_remaining, p_subscription
  ))
$$;

select is(pg_temp.entry('grant', 1, 0), null, 'a grant is more than nothing');
select is(pg_temp.entry('grant', 0, 1), '23514', 'not nothing');
select is(pg_temp.entry('grant', -1, 1), '23514', 'nor less');
select is(pg_temp.entry('grant', 1, -1), '23514', 'no balance is negative');
select is(pg_temp.entry(k, -1, 0), null, k || ' is less than nothing') from unnest(array['debit', 'expiry', 'correction']) k;
select is(
  (select string_agg(pg_temp.entry(k, 0, 1) || ' ' || pg_temp.entry(k, 1, 1), ', ') from unnest(array['debit', 'expiry', 'correction']) k),
  '23514 23514, 23514 23514, 23514 23514', 'and no more'
);
select is(
  concat_ws(' ', pg_temp.entry('grant', 1, 1, 'k1'), pg_temp.entry('debit', -1, 0, 'k1'), pg_temp.entry('grant', 1, 1, 'k1', 'rival')), '23505',
  'a key is that of one entry of a tenant'
);
select is(pg_temp.account(-1), '23514', 'an account is never below zero');
select is(concat_ws(' ', pg_temp.account(0), pg_temp.account(0)), '23505', 'and there is one of a tenant');
select is(pg_temp.granted(1, 1), null, 'of a grant all is left');
select is(pg_temp.granted(1, 0), null, 'or nothing');
select is(pg_temp.granted(1, 2), '23514', 'not more');
select is(pg_temp.granted(1, -1), '23514', 'nor less');
select is(concat_ws(' ', pg_temp.granted(1, 1, 'sub_1'), pg_temp.granted(1, 1, 'sub_1')), '23505', 'a month is granted once');
select is(
  (select array_agg(balance order by id) from public.credit_ledger where kind = 'grant' and tenant_id = tests.tenant_id('acme')), array[0, 1]::bigint[],
  'what was refused is not there'
);

select * from finish();
rollback;
