begin;
select plan(18);

update public.alert_rules set enabled = false;
select tests.create_tenant('acme', 'trial');
select tests.set_clock('acme');
select set_custom_quota(tests.tenant_id('acme'), 'executions', 100, 'month');
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'usage', 'quota_warning');
create function pg_temp.take(p_amount bigint, p_metric text default 'tokens') returns bigint language sql as $$
  select consume_quota(tests.tenant_id('acme'), p_metric, p_amount);
  select count(*) from public.alerts
$$;

select is(pg_temp.take(8000), 1::bigint, 'a threshold that is crossed opens an alert');
-- Given back, and taken again.
select private.give_back(tests.tenant_id('acme'), 'tokens', array[row('day', '', private.window_start('day', tests.noon()), 8000)::private.quota_hold], 8000);
select is((select used from private.quota_counters where metric = 'tokens'), 0::bigint, 'what is given back');
select is(pg_temp.take(8000), 1::bigint, 'and taken again opens none');
select release_reservation(r.reservation_id) from reserve_quota(tests.tenant_id('acme'), 'tokens', 2000) r;
select is(pg_temp.take(1), 1::bigint, 'nor does what a reservation had taken');
select reset_quota_counter(tests.tenant_id('acme'), 'tokens');
select is(pg_temp.take(9000), 1::bigint, 'nor a counter that was reset');
-- Once its alert is over.
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 100000);
select is((select resolved from evaluate_alert_rules()), 1, 'when the limit is raised, it is over');
select is(pg_temp.take(71000), 1::bigint, 'but opens no second time in the same day');
select is((select opened from evaluate_alert_rules()), 0, 'by a pass neither');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 10000);
select is(pg_temp.take(9, 'executions'), 1::bigint, 'another metric');
select is(pg_temp.take(71, 'executions'), 2::bigint, 'has alerts of its own');

-- The next day.
update public.tenants set clock_offset = clock_offset + interval '1 day' where id = tests.tenant_id('acme');
select is(pg_temp.take(7999), 2::bigint, 'the next day begins at nothing');
select is((select next_threshold from private.quota_counters where metric = 'tokens'), 80::numeric, 'with the first threshold');
select is(pg_temp.take(1), 3::bigint, 'and has an alert of its own');
select is(pg_temp.take(1, 'executions'), 3::bigint, 'the month goes on');
update public.tenants set clock_offset = clock_offset + interval '31 days' where id = tests.tenant_id('acme');
select is(pg_temp.take(80, 'executions'), 4::bigint, 'to the next one');
-- In the tenant's day that a reservation is settled in.
select settle_reservation(r.reservation_id, 8000) from reserve_quota(tests.tenant_id('acme'), 'tokens', 1) r;
select is((select count(*) from public.alerts), 5::bigint, 'what is settled in a new day is seen in it');
-- And what is settled in another day than it was reserved in.
create temp table held as select * from reserve_quota(tests.tenant_id('acme'), 'tokens', 1);
update public.tenants set clock_offset = clock_offset + interval '1 day' where id = tests.tenant_id('acme');
select settle_reservation(reservation_id, 8001) from held;
select is((select count(*) from public.alerts), 6::bigint, 'though nothing was taken in it');
select is((select count(distinct dedup_key) from public.alerts), 6::bigint, 'each is about another period');

select * from finish();
rollback;
