begin;
select plan(22);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.act_as_user('ann');
create function pg_temp.fault(p_amounts text, p_keys text default null, p_metric text default 'tokens') returns text
language sql as $$
  select tests.error_of(format(
    'select consume_quota_batch(tests.tenant_id(''acme''), %L, %L, idempotency_keys => %L)', p_metric, p_amounts, p_keys
  ))
$$;

select is(pg_temp.fault('{}'), 'PT400 invalid_batch', 'no amounts');
select is(pg_temp.fault(null), 'PT400 invalid_batch', 'none at all');
select is(pg_temp.fault(array_fill(1, array[1001])::text), 'PT400 invalid_batch', 'more than a thousand');
select is(pg_temp.fault(array_fill(1, array[1000])::text), null, 'but not a thousand');
select is(pg_temp.fault('{1, 2}', '{k1}'), 'PT400 invalid_batch', 'fewer keys than amounts');
select is(pg_temp.fault('{1}', '{k1, k2}'), 'PT400 invalid_batch', 'more keys');
select is(pg_temp.fault('{1}', '{}'), 'PT400 invalid_batch', 'no keys where there are some');
select is(pg_temp.fault('{{1, 2}, {3, 4}}'), 'PT400 invalid_batch', 'amounts of amounts');
select is(pg_temp.fault('{{1, 2}, {3, 4}}', '{a, b, c, d}'), 'PT400 invalid_batch', 'with keys, too');
select is(pg_temp.fault('{1, 0}'), 'PT400 invalid_amount', 'nothing');
select is(pg_temp.fault('{1, -1}'), 'PT400 invalid_amount', 'less than nothing');
select is(pg_temp.fault('{1, null}'), 'PT400 invalid_amount', 'no amount');
select is(pg_temp.fault('{1, 9007199254740992}'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.fault('{9223372036854775808}'), '22003', 'more than there is');
select is(pg_temp.fault('{NaN}'), '22P02', 'no number');
select is(pg_temp.fault('{1.5}'), '22P02', 'a part of one');
select is(pg_temp.fault('{9007199254740991, 9007199254740991}'), null, 'but not what is merely too much');
select is(pg_temp.fault('{1}', p_metric => 'nonsense'), 'PT404 metric_not_found', 'an unknown metric');
select is(pg_temp.fault('{1}', '{""}'), 'PT400 invalid_idempotency_key', 'an empty key');
select is(pg_temp.fault('{1, 1}', array['k', repeat('k', 256)]::text), 'PT400 invalid_idempotency_key', 'a key too long');
select is(pg_temp.fault('{1}', array[repeat('k', 255)]::text), null, 'but not one of 255 characters');
select is((select used from check_tenant_quota(tests.tenant_id('acme'), 'tokens')), 1001::bigint, 'what was refused took nothing');

select * from finish();
rollback;
