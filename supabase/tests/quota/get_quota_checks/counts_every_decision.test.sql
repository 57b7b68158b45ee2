begin;
select plan(7);

select tests.create_tenant('acme', 'startup');
select tests.create_tenant('rival', 'startup');
insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'tokens', 'day', 100), (tests.tenant_id('acme'), 'embeddings', 'minute', 0),
  (tests.tenant_id('rival'), 'tokens', 'day', 100);
prepare checks as select metric, allowed, denied from get_quota_checks(tests.tenant_id('acme'));
select is_empty('checks', 'nothing before anything was asked for');

-- Three windows, of which each take counts in one.
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 5, 'u' || i) from generate_series(1, 3) i;
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 16, 'u' || i) from generate_series(1, 2) i, generate_series(1, 3);
select consume_quota_batch(tests.tenant_id('acme'), 'tokens', '{60, 50, 50, 40, 1}');
select consume_quota(tests.tenant_id('acme'), 'embeddings');
select consume_quota(tests.tenant_id('acme'), 'seats');
select results_eq(
  'checks',
  $$ values ('analysis_runs', 3::bigint, 6::bigint), ('embeddings', 0, 1), ('seats', 1, 0), ('tokens', 2, 3) $$,
  'grants and denials'
);

-- Repeated, undone and read-only.
select consume_quota_batch(tests.tenant_id('rival'), 'tokens', '{1, 100}');
select check_tenant_quota(tests.tenant_id('acme'), 'tokens', 1);
select consume_quota(tests.tenant_id('acme'), 'api_calls', 1, 'u1', 'k1') from generate_series(1, 3);
select consume_quotas(tests.tenant_id('acme'), '[{"metric": "seats"}, {"metric": "tokens"}, {"metric": "api_calls", "amount": 9999}]');
select release_reservation(reservation_id) from reserve_quota(tests.tenant_id('acme'), 'seats', 1);
select extend_reservation(reservation_id, 2) from reserve_quota(tests.tenant_id('acme'), 'seats', 2);
select results_eq(
  'checks',
  $$ values ('analysis_runs', 3::bigint, 6::bigint), ('api_calls', 1, 1), ('embeddings', 0, 1), ('seats', 4, 0), ('tokens', 2, 4) $$,
  'a replay is one grant, an extension another, and of items that are denied together only the full ones are denials'
);
select private.expire_reservations();
select reset_quota_counter(tests.tenant_id('acme'), 'seats');
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('acme');
select consume_quota(tests.tenant_id('acme'), 'tokens', 10);
select results_eq(
  'checks',
  $$ values ('analysis_runs', 3::bigint, 6::bigint), ('api_calls', 1, 1), ('embeddings', 0, 1), ('seats', 4, 0), ('tokens', 3, 4) $$,
  'a reset or a new window forgets none'
);

-- A take that a later window refuses was none.
create function pg_temp.fill_month() returns trigger language plpgsql as $$
begin
  update private.quota_counters set used = 200, window_start = date_trunc('month', now() + interval '40 days', 'UTC')
  where period = 'month' and metric = 'analysis_runs';
  return null;
end
$$;
create trigger fill_month after update on private.quota_counters
  for each row when (new.period = 'day' and new.metric = 'analysis_runs') execute function pg_temp.fill_month();
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 3, 'u3');
select results_eq(
  $$ select allowed, denied from get_quota_checks(tests.tenant_id('acme')) where metric = 'analysis_runs' $$,
  $$ values (3::bigint, 7::bigint) $$, 'what was undone is a denial alone'
);

-- In the rows of many sessions.
insert into private.quota_denials (tenant_id, metric, source, denied)
select tests.tenant_id('acme'), 'tokens', -i, i from generate_series(1, 10) i;
create temp table told as select * from get_quota_checks(tests.tenant_id('acme'));
select is((select (allowed, denied)::text from told where metric = 'tokens'), '(3,59)', 'whoever counted');
select private.fold_quota_denials();
select results_eq(
  $$ select * from get_quota_checks(tests.tenant_id('acme')) $$, 'select * from told', 'and as many when they were folded'
);

select * from finish();
rollback;
