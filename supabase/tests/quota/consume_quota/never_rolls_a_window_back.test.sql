begin;
select plan(4);

-- Another caller, whose clock is a moment ahead, has begun tomorrow.
select tests.create_tenant('acme', 'trial');
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
values (tests.tenant_id('acme'), 'tokens', 'day', '', date_trunc('day', now(), 'UTC') + interval '24 hours', 5);

select is(
  (select (allowed, used, resets_at)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 2)),
  (select (true, 7, date_trunc('day', now(), 'UTC') + interval '48 hours')::text), 'counts into the newer window'
);
select is(
  (select (used, window_start)::text from private.quota_counters),
  (select (7, date_trunc('day', now(), 'UTC') + interval '24 hours')::text), 'which stays'
);
select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('acme'), 'tokens', 9994)), '(f,7)', 'and holds its limit'
);
select is((select used from get_quota_status(tests.tenant_id('acme')) where metric = 'tokens'), 7::bigint, 'status agrees');

select * from finish();
rollback;
