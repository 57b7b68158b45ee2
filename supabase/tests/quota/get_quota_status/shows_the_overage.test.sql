begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
update public.plan_limits set enforcement = 'soft' where plan_id = 'trial' and metric = 'tokens';
create function pg_temp.status_of(p_metric text) returns text language sql as $$
  select (s.limit_value, s.used, s.remaining, s.percentage, s.band, s.enforcement, s.overage)::text
  from get_quota_status(tests.tenant_id('acme')) s where s.metric = p_metric
$$;

select consume_quota(tests.tenant_id('acme'), 'tokens', 10000);
select is(pg_temp.status_of('tokens'), '(10000,10000,0,100.00,critical,soft,0)', 'a full limit has none');
select consume_quota(tests.tenant_id('acme'), 'tokens', 500);
select is(pg_temp.status_of('tokens'), '(10000,10500,0,105.00,critical,soft,500)', 'a soft one that was passed');
select settle_reservation(reservation_id, 70) from reserve_quota(tests.tenant_id('acme'), 'embeddings', 1);
select is(pg_temp.status_of('embeddings'), '(50,70,0,140.00,critical,hard,20)', 'a hard one that was settled past');

-- A gauge is listed once there is a limit, with what was counted before.
select consume_quota(tests.tenant_id('acme'), 'seats', 4);
select is(pg_temp.status_of('seats'), null, 'a gauge without a limit is no entitlement');
select set_custom_quota(tests.tenant_id('acme'), 'seats', 3);
select is(pg_temp.status_of('seats'), '(3,4,0,133.33,critical,hard,1)', 'with one, it is over by what was there');
select set_custom_quota(tests.tenant_id('acme'), 'seats', null);
select is(pg_temp.status_of('seats'), '(,4,,,ok,hard,0)', 'what is unlimited is never over');

select * from finish();
rollback;
