begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select set_custom_quota(tests.tenant_id(name), 'tokens', 5) from unnest(array['acme', 'rival']) name;
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 7, 'month');
select consume_quota(tests.tenant_id('acme'), 'tokens', 5);

select is(
  (select (c.tenant_id = tests.tenant_id('acme'), c.metric, c.period, c.limit_value)::text
   from clear_custom_quota(tests.tenant_id('acme'), 'tokens', 'month') c),
  '(t,tokens,month,7)', 'returns what it was'
);
select is(
  (select (c.period, c.limit_value)::text from clear_custom_quota(tests.tenant_id('acme'), 'tokens') c), '(day,5)',
  'of the metric''s default period, unless one is named'
);
select is_empty($$ select clear_custom_quota(tests.tenant_id('acme'), 'tokens') $$, 'or nothing, when there was none');
select is(
  (select (allowed, limit_value, used)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 100)), '(t,10000,105)',
  'the plan''s limit holds again, for what was used already'
);
select set_eq(
  'select tenant_id, limit_value from public.tenant_limits', $$ values (tests.tenant_id('rival'), 5::bigint) $$, 'another tenant''s own is left'
);
select is(
  (select (entity_id, old_values ->> 'limit_value')::text from public.audit_events
   where event_type = 'tenant_limit_deleted' and old_values ->> 'period' = 'day'),
  '(tokens,5)', 'what was cleared is audited'
);
select is(
  tests.error_of($$ select clear_custom_quota(tests.tenant_id('rival'), 'nonsense') $$), 'PT404 metric_not_found', 'an unknown metric'
);
select is(
  tests.error_of($$ select clear_custom_quota(gen_random_uuid(), 'tokens') $$), 'PT404 tenant_not_found', 'an unknown tenant'
);

select * from finish();
rollback;
