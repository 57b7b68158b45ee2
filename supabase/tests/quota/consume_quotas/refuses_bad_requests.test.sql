begin;
select plan(21);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'editor');
create function pg_temp.fault(p_items text) returns text language sql as $$
  select tests.error_of(format('select consume_quotas(tests.tenant_id(''acme''), %L)', p_items))
$$;
create function pg_temp.items(p_count int) returns text language sql as $$
  select jsonb_agg(jsonb_build_object('metric', 'executions', 'subject', 'u' || i))::text from generate_series(1, p_count) i
$$;

select is(pg_temp.fault(null), 'PT400 invalid_items', 'nothing');
select is(pg_temp.fault('null'), 'PT400 invalid_items', 'null');
select is(pg_temp.fault('{"metric": "tokens"}'), 'PT400 invalid_items', 'an item that is no array');
select is(pg_temp.fault('[]'), 'PT400 invalid_items', 'no items');
select is(pg_temp.fault(pg_temp.items(101)), 'PT400 invalid_items', 'more than a hundred');
select is(pg_temp.fault(pg_temp.items(100)), null, 'but not a hundred');
select is(pg_temp.fault('[{"metric": "tokens", "amount": 0}]'), 'PT400 invalid_amount', 'nothing to take');
select is(pg_temp.fault('[{"metric": "embeddings"}, {"metric": "tokens", "amount": -1}]'), 'PT400 invalid_amount', 'less than nothing');
select is(pg_temp.fault('[{"metric": "tokens", "amount": 9007199254740992}]'), 'PT400 invalid_amount', 'more than JSON holds exactly');
select is(pg_temp.fault('[{"metric": "tokens", "amount": 1.5}]'), '22P02', 'a part of one');
select is(pg_temp.fault('[{"metric": "tokens", "amount": "NaN"}]'), '22P02', 'no number');
select is(pg_temp.fault('[{"metric": "embeddings"}, {"metric": "nonsense"}]'), 'PT404 metric_not_found', 'an unknown metric');
select is(pg_temp.fault('[{}]'), 'PT404 metric_not_found', 'no metric');
select is(pg_temp.fault('[{"metric": "tokens", "idempotency_key": ""}]'), 'PT400 invalid_idempotency_key', 'an empty key');
select is(pg_temp.fault('[{"metric": "tokens"}, {"metric": "tokens"}]'), 'PT400 duplicate_item', 'a metric twice');
select is(
  pg_temp.fault('[{"metric": "tokens"}, {"metric": "tokens", "subject": ""}]'), 'PT400 duplicate_item', 'for nobody in two ways'
);
select is(
  pg_temp.fault('[{"metric": "tokens", "subject": "a"}, {"metric": "tokens", "subject": "b"}]'), null, 'but not for two subjects'
);
select is(
  tests.error_of($$ select consume_quotas(gen_random_uuid(), '[{"metric": "tokens"}]') $$), 'PT404 tenant_not_found', 'an unknown tenant'
);
select tests.act_as_user('ann');
select is(
  pg_temp.fault('[{"metric": "tokens", "subject": "a"}, {"metric": "tokens", "subject": "b"}]'), 'PT400 duplicate_item',
  'two subjects named by a member are that member'
);
select tests.act_as_owner();
select is((select used from tests.quota_counters), 2::bigint, 'what was refused took nothing');
select is_empty('select from public.quota_decisions', 'and is no denial');

select * from finish();
rollback;
