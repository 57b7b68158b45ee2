begin;
select plan(16);

select tests.create_tenant('acme', 'free');
select tests.set_clock('acme', '10 days');
create function pg_temp.give(
  p_amount text default '1', p_reason text default 'gift', p_expires_at text default null, p_key text default null,
  p_tenant uuid default tests.tenant_id('acme')
) returns text language sql as $$
  select tests.error_of(format('select grant_credits(%L, %L, %L, %L, %L)', p_tenant, p_amount, p_reason, p_expires_at, p_key))
$$;

select is(pg_temp.give('0'), 'PT400 invalid_amount', 'nothing');
select is(pg_temp.give('-1'), 'PT400 invalid_amount', 'less than nothing');
select is(pg_temp.give(null), 'PT400 invalid_amount', 'no amount');
select is(pg_temp.give('9007199254740992'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.give(p_reason => null), 'PT400 invalid_reason', 'no reason');
select is(pg_temp.give(p_reason => ''), 'PT400 invalid_reason', 'an empty reason');
select is(pg_temp.give(p_reason => repeat('x', 201)), 'PT400 invalid_reason', 'a reason too long');
select is(pg_temp.give(p_key => ''), 'PT400 invalid_idempotency_key', 'an empty key');
select is(pg_temp.give(p_key => repeat('k', 256)), 'PT400 invalid_idempotency_key', 'a key too long');
select is(pg_temp.give(p_tenant => gen_random_uuid()), 'PT404 tenant_not_found', 'a tenant that is none');
select is(pg_temp.give(p_tenant => null), 'PT404 tenant_not_found', 'no tenant');
select is(pg_temp.give(p_expires_at => '-infinity'), 'PT400 invalid_expires_at', 'an end long ago');
select is(
  pg_temp.give(p_expires_at => (tests.noon() + interval '9 days')::text), 'PT400 invalid_expires_at', 'or before the tenant''s time'
);
select is(
  pg_temp.give(p_expires_at => (tests.noon() + interval '10 days')::text), 'PT400 invalid_expires_at', 'or just then'
);
select is((select count(*) from public.credit_ledger), 0::bigint, 'give nothing');
select is(
  pg_temp.give('9007199254740991', repeat('ü', 200), (tests.noon() + interval '10 days 1 hour')::text, repeat('k', 255)), null,
  'but not what is just acceptable'
);

select * from finish();
rollback;
