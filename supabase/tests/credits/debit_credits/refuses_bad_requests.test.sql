begin;
select plan(18);

select tests.create_user('edit');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'edit', 'editor');
select grant_credits(tests.tenant_id('acme'), 100, 'gift');
select tests.act_as_user('edit');

create function pg_temp.debit(p_amount text, p_reason text default 'work', p_key text default null) returns text language sql as $$
  select tests.error_of(format('select debit_credits(tests.tenant_id(''acme''), %L, %L, %L)', p_amount, p_reason, p_key))
$$;

select is(pg_temp.debit('0'), 'PT400 invalid_amount', 'nothing');
select is(pg_temp.debit('-1'), 'PT400 invalid_amount', 'less than nothing');
select is(pg_temp.debit('9007199254740992'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.debit(null), 'PT400 invalid_amount', 'no amount');
select is(pg_temp.debit('9223372036854775808'), '22003', 'more than a number holds');
select is(pg_temp.debit('1.5'), '22P02', 'a part of one');
select is(pg_temp.debit('NaN'), '22P02', 'what is no number');
select is(pg_temp.debit('9007199254740991'), null, 'but not what is merely too much');
select is(pg_temp.debit('1', null), 'PT400 invalid_reason', 'no reason');
select is(pg_temp.debit('1', ''), 'PT400 invalid_reason', 'an empty reason');
select is(pg_temp.debit('1', repeat('x', 201)), 'PT400 invalid_reason', 'a reason too long');
select is(pg_temp.debit('1', repeat('ü', 200)), null, 'but not one of 200 characters');
select is(pg_temp.debit('1', 'x'), null, 'nor of one');
select is(pg_temp.debit('1', p_key => ''), 'PT400 invalid_idempotency_key', 'an empty key');
select is(pg_temp.debit('1', p_key => repeat('k', 256)), 'PT400 invalid_idempotency_key', 'a key too long');
select is(pg_temp.debit('1', p_key => repeat('ü', 255)), null, 'but not one of 255 characters');
select tests.act_as_service_role();
select is(
  tests.error_of($$ select debit_credits(gen_random_uuid(), 1, 'work') $$), 'PT404 tenant_not_found', 'a tenant that is none'
);
select tests.act_as_owner();
select is((select balance from private.credit_accounts), 97::bigint, 'what was refused took nothing');

select * from finish();
rollback;
