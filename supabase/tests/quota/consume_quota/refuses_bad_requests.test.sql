begin;
select plan(15);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');

create function pg_temp.consume(p_amount text, p_metric text default 'tokens', p_key text default null) returns text
language sql as $$
  select tests.error_of(format(
    'select consume_quota(tests.tenant_id(''acme''), %L, %L, idempotency_key => %L)', p_metric, p_amount, p_key
  ))
$$;

select is(pg_temp.consume('0'), 'PT400 invalid_amount', 'nothing');
select is(pg_temp.consume('-1'), 'PT400 invalid_amount', 'less than nothing');
select is(pg_temp.consume('9007199254740992'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.consume(null), 'PT400 invalid_amount', 'no amount');
select is(pg_temp.consume('9223372036854775807'), 'PT400 invalid_amount', 'as much as a number holds');
select is(pg_temp.consume('9223372036854775808'), '22003', 'more than that');
select is(pg_temp.consume('NaN'), '22P02', 'what is no number');
select is(pg_temp.consume('Infinity'), '22P02', 'what has no end');
select is(pg_temp.consume('1.5'), '22P02', 'a part of one');
select is(pg_temp.consume('9007199254740991'), null, 'but not what is merely too much');
select is(pg_temp.consume('1', 'nonsense'), 'PT404 metric_not_found', 'an unknown metric');
select is(pg_temp.consume('1', null), 'PT404 metric_not_found', 'no metric');
select is(pg_temp.consume('1', p_key => ''), 'PT400 invalid_idempotency_key', 'an empty key');
select is(pg_temp.consume('1', p_key => repeat('k', 256)), 'PT400 invalid_idempotency_key', 'a key too long');
select is(pg_temp.consume('1', p_key => repeat('k', 255)), null, 'but not one of 255 characters');

select * from finish();
rollback;
