begin;
select plan(9);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.event(p_id text, p_age interval default '0', p_tokens int default 1) returns jsonb language sql as $$
  select jsonb_build_object(
    'event_id', p_id, 'event_type', 'search', 'event_timestamp', now() - p_age, 'tokens_consumed', p_tokens
  )
$$;
create function pg_temp.record(p_tenant text, variadic p_events jsonb[]) returns text language sql as $$
  select (r.accepted, r.duplicates, r.rejected)::text from record_usage(tests.tenant_id(p_tenant), to_jsonb(p_events)) r
$$;

select is(
  pg_temp.record('acme', pg_temp.event('a', p_tokens => 1), pg_temp.event('b'), pg_temp.event('a', p_tokens => 2)), '(2,1,[])',
  'twice in a batch is a duplicate'
);
select is(
  (select tokens_consumed from public.tenant_usage_realtime where event_id = 'a'), 1::bigint, 'of which the first counts'
);
select is(pg_temp.record('acme', pg_temp.event('b'), pg_temp.event('c')), '(1,1,[])', 'so is the id of an earlier call');
select is(pg_temp.record('acme', pg_temp.event('a', '3 days')), '(0,1,[])', 'whatever its timestamp');
select is(
  pg_temp.record('acme', pg_temp.event('d', '2 days'), pg_temp.event('d', '1 day')), '(1,1,[])', 'in one batch, too'
);
select is(pg_temp.record('rival', pg_temp.event('a')), '(1,0,[])', 'another tenant''s event of that id is another');
select is(pg_temp.record('acme', pg_temp.event('A')), '(1,0,[])', 'so is one in other letters');
select set_eq(
  'select tenant_id, event_id from public.tenant_usage_realtime',
  $$ select tests.tenant_id('acme'), unnest(array['a', 'b', 'c', 'd', 'A'])
     union all select tests.tenant_id('rival'), 'a' $$,
  'each is stored once'
);
select is((select count(*) from public.tenant_usage_realtime), 6::bigint, 'and no more');

select * from finish();
rollback;
