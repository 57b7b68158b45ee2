begin;
select plan(10);

select tests.create_tenant('acme', 'trial');
create function pg_temp.status_at(p_used bigint) returns text language sql as $$
  insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
  values (tests.tenant_id('acme'), 'tokens', 'day', '', date_trunc('day', now(), 'UTC'), p_used)
  on conflict (tenant_id, metric, period, subject) do update set used = excluded.used;
  select (s.used, s.remaining, s.percentage, s.band)::text from get_quota_status(tests.tenant_id('acme')) s where s.metric = 'tokens'
$$;

select is(pg_temp.status_at(0), '(0,10000,0.00,ok)', 'nothing used');
select is(pg_temp.status_at(7499), '(7499,2501,74.99,ok)', 'just below 75 %');
select is(pg_temp.status_at(7500), '(7500,2500,75.00,warning)', '75 %');
select is(pg_temp.status_at(9000), '(9000,1000,90.00,warning)', '90 %');
select is(pg_temp.status_at(9001), '(9001,999,90.01,critical)', 'just above 90 %');
select is(pg_temp.status_at(10000), '(10000,0,100.00,critical)', 'full');
select is(pg_temp.status_at(12500), '(12500,0,125.00,critical)', 'past the limit');

select set_custom_quota(tests.tenant_id('acme'), 'tokens', 500000);
select is(pg_temp.status_at(450001), '(450001,49999,90.00,critical)', 'above 90 % by less than is shown');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', null);
select is(pg_temp.status_at(12500), '(12500,,,ok)', 'unlimited has nothing to be left or to be part of');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 0);
select is(pg_temp.status_at(0), '(0,0,100.00,critical)', 'not included is full');

select * from finish();
rollback;
