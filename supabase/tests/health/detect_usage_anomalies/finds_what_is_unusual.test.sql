begin;
select plan(37);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'ahead', 'young']) t;
-- What was used in the hour that began so many hours before the one under way, by so many events.
create function pg_temp.use(p_tenant text, p_hours int, p_quantity numeric, p_metric text default 'tokens', p_events bigint default 1000000) returns void language sql as $$
  with h as (select date_trunc('hour', private.tenant_now(tests.tenant_id(p_tenant)), 'UTC') - p_hours * interval '1 hour' as hour),
  counts as (
    insert into private.usage_rollups (tenant_id, period_type, period_start, counts)
    select tests.tenant_id(p_tenant), 'hourly', hour, jsonb_populate_record(null::private.usage_counts, jsonb_build_object('events', p_events)) from h
    on conflict (tenant_id, period_type, period_start) do update set counts = excluded.counts
  ),
  metrics as (
    insert into public.tenant_usage_metrics
    select (jsonb_populate_record(null::public.tenant_usage_metrics, to_jsonb(private.summarize_usage(tests.tenant_id(p_tenant), 'hourly', hour, null, null))
      || jsonb_build_object('metric_id', gen_random_uuid(), 'estimated_cost_usd', case p_metric when 'cost_usd' then p_quantity else 0 end))).*
    from h
    on conflict (tenant_id, period_type, period_start) do update
    set estimated_cost_usd = case p_metric when 'cost_usd' then p_quantity else tenant_usage_metrics.estimated_cost_usd end
  )
  insert into public.tenant_metric_usage (tenant_id, metric, period_type, period_start, quantity)
  select tests.tenant_id(p_tenant), p_metric, 'hourly', hour, p_quantity from h where p_metric <> 'cost_usd'
  on conflict (tenant_id, metric, period_type, period_start) do update set quantity = excluded.quantity
$$;
-- What was used in the same hour of the weeks before.
create function pg_temp.weeks(p_tenant text, p_quantities numeric[], p_metric text default 'tokens') returns void language sql as $$
  select pg_temp.use(p_tenant, 1 + 168 * n::int, q, p_metric) from unnest(p_quantities) with ordinality q (q, n)
$$;
create function pg_temp.found(p_hours int default 24, p_threshold numeric default 2) returns text language sql as $$
  select string_agg(concat_ws(' ', t.name, metric, extract(epoch from date_trunc('hour', private.tenant_now(t.id), 'UTC') - hour)::int / 3600, observed, expected, ratio), ', ')
  from detect_usage_anomalies(p_hours, p_threshold) a join public.tenants t on t.id = a.tenant_id
$$;

-- Weekly.
select pg_temp.weeks('acme', array[90000, 100000, 110000, 100000]), pg_temp.use('acme', 1, 199999);
select is(pg_temp.found(), null, 'less than twice what is usual at that time of the week is usual');
select pg_temp.use('acme', 1, 200000);
select is(pg_temp.found(), 'acme tokens 1 200000 100000.0000 2.00', 'twice is not');
select is(pg_temp.found(p_threshold => 2.01), null, 'by the threshold that is asked for');
select pg_temp.use('acme', 1, 300000);
select is(pg_temp.found(p_threshold => 3), 'acme tokens 1 300000 100000.0000 3.00', 'three times is found by any up to three');
select is(pg_temp.found(1), 'acme tokens 1 300000 100000.0000 3.00', 'within the last hour, or the one under way');
select pg_temp.use('acme', 0, 0), pg_temp.use('globex', 2, 0);
select is(pg_temp.found(1), 'acme tokens 1 300000 100000.0000 3.00', 'of others nothing is unusual');
-- The median of four, or of three that are known.
select pg_temp.weeks('acme', array[0, 100000, 200000, 5000000]);
select is(pg_temp.found(p_threshold => 1.5), null, 'weeks that differ much make much usual');
delete from public.tenant_usage_metrics where period_start < now() - interval '27 days';
select pg_temp.weeks('acme', array[100000, 110000, 90000]);
select is(pg_temp.found(), 'acme tokens 1 300000 100000.0000 3.00', 'three weeks are enough');
-- A week without usage is one of nothing.
delete from public.tenant_metric_usage where period_start < now() - interval '20 days';
select is(pg_temp.found(), 'acme tokens 1 300000 100000.0000 3.00', 'an hour without usage counts as nothing: of 100000, 110000 and 0 the middle is 100000');

-- Daily, as long as fewer than three weeks are known.
select pg_temp.use('young', 1 + 24 * d, 100000) from generate_series(1, 2) d;
select pg_temp.use('young', 1, 900000);
select is((select count(*) from detect_usage_anomalies() where tenant_id = tests.tenant_id('young')), 0::bigint, 'who began two days ago has nothing that is usual');
select pg_temp.use('young', 1 + 24 * 3, 100000);
select is(
  (select (expected, ratio)::text from detect_usage_anomalies() where tenant_id = tests.tenant_id('young')), '(100000.0000,9.00)', 'three days ago has: the same hour of the days before'
);
select pg_temp.use('young', 1 + 24 * d, 500000) from generate_series(4, 7) d;
select is((select count(*) from detect_usage_anomalies() where tenant_id = tests.tenant_id('young')), 0::bigint, 'of up to seven');
select pg_temp.use('young', 1 + 24 * d, case when d = 4 then 100000 else 300000 end) from generate_series(4, 8) d;
select pg_temp.use('young', 1 + 24 * 14, 900000);
select is((select (expected, ratio)::text from detect_usage_anomalies() where tenant_id = tests.tenant_id('young')), '(100000.0000,9.00)', 'not more, with two weeks known');
select pg_temp.use('young', 1 + 24 * 21, 900000), pg_temp.use('young', 1 + 24 * 7, 900000);
select is((select count(*) from detect_usage_anomalies() where tenant_id = tests.tenant_id('young')), 0::bigint, 'with three the weeks count');
delete from public.tenant_metric_usage where tenant_id = tests.tenant_id('young');
delete from public.tenant_usage_metrics where tenant_id = tests.tenant_id('young');

-- Further than three scaled deviations: 200000 + 3 × 1.4826 × 100000.
select pg_temp.weeks('acme', array[100000, 100000, 300000, 300000]), pg_temp.use('acme', 1, 644780);
select is(pg_temp.found(), null, 'what swings so much is usual');
select pg_temp.use('acme', 1, 644781);
select is(pg_temp.found(), 'acme tokens 1 644781 200000.0000 3.22', 'until it swings further');

-- Floors.
select pg_temp.weeks('acme', array[0, 0, 0, 0]), pg_temp.use('acme', 1, 1999);
select is(pg_temp.found(), null, 'nothing that is usual counts as a thousand tokens');
select pg_temp.use('acme', 1, 2000);
select is(pg_temp.found(), 'acme tokens 1 2000 0.0000 2.00', 'twice as many are unusual');
select pg_temp.use('acme', 1, 0);
select pg_temp.weeks('acme', array[0, 0, 0, 0], 'cost_usd'), pg_temp.use('acme', 1, 0.199, 'cost_usd');
select is(pg_temp.found(), null, 'or ten cents');
select pg_temp.use('acme', 1, 0.2, 'cost_usd');
select is(pg_temp.found(), 'acme cost_usd 1 0.2 0.0000 2.00', 'of a cost');
select pg_temp.use('acme', 1, 0, 'cost_usd');
select pg_temp.weeks('acme', array[0, 0, 0, 0], 'embeddings'), pg_temp.use('acme', 1, 19, 'embeddings');
select is(pg_temp.found(), null, 'or ten of anything else');

-- Chance: four times the square root of 2/n above, n being how many events are usual.
select pg_temp.use('acme', 1, 51, 'embeddings');
select is(pg_temp.found(), 'acme embeddings 1 51 0.0000 5.10', 'of small numbers it takes more');
select pg_temp.weeks('acme', array[100, 100, 100, 100], 'embeddings');
select pg_temp.use('acme', 1, 200, 'embeddings');
select is(pg_temp.found(p_threshold => 1.56), 'acme embeddings 1 200 100.0000 2.00', 'a hundred that are usual: 100 × (1 + 4 √(2 / 100)) = 156.6');
select pg_temp.use('acme', 1, 157, 'embeddings');
select is(pg_temp.found(p_threshold => 1.56), 'acme embeddings 1 157 100.0000 1.57', 'so 157');
select pg_temp.use('acme', 1, 156.5, 'embeddings');
select is(pg_temp.found(p_threshold => 1.56), null, 'but not 156.5');
select pg_temp.use('acme', 1, 300, 'embeddings', 6);
select is(pg_temp.found(), null, 'few events that are large may be chance: two are usual, so 500 are not');
select pg_temp.use('acme', 1, 300, 'embeddings', 24);
select is(pg_temp.found(), 'acme embeddings 1 300 100.0000 3.00', 'eight are: 300');
select pg_temp.use('acme', 1, 300, 'embeddings', 23);
select is(pg_temp.found(), null, 'less is not');
delete from public.tenant_metric_usage; delete from public.tenant_usage_metrics;

-- What counts, not what exists.
select pg_temp.weeks('acme', array[100, 100, 100, 100], 'workflows'), pg_temp.use('acme', 1, 900, 'workflows');
select is(pg_temp.found(), null, 'a stock that grows is no usage');
-- The range: hours that began within the last ones, in the tenant's time.
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('ahead');
select pg_temp.weeks('ahead', array[1000, 1000, 1000, 1000]), pg_temp.use('ahead', 1, 9000);
select pg_temp.weeks(t, array[100000, 100000, 100000, 100000]), pg_temp.use(t, 1, 500000) from unnest(array['acme']) t;
select pg_temp.use('acme', 3 + 168 * w, 100000), pg_temp.use('acme', 3, 600000), pg_temp.use('acme', 168 * w, 100000), pg_temp.use('acme', 0, 700000) from generate_series(1, 4) w;
select is(
  pg_temp.found(2), 'ahead tokens 1 9000 1000.0000 9.00, acme tokens 0 700000 100000.0000 7.00, acme tokens 1 500000 100000.0000 5.00',
  'the hours asked for and the one under way, the greatest ratio first'
);
select matches(pg_temp.found(3), 'acme tokens 3 600000 100000.0000 6.00', 'more hours find more');
select pg_temp.use('acme', -1, 9000000), pg_temp.use('acme', -1 + 168 * w, 100000) from generate_series(1, 4) w;
select is(pg_temp.found(1), 'ahead tokens 1 9000 1000.0000 9.00, acme tokens 0 700000 100000.0000 7.00, acme tokens 1 500000 100000.0000 5.00', 'what is to come is not looked at');

-- Who may ask, and how.
select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of('select detect_usage_anomalies()'), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_anon();
select is(tests.error_of('select detect_usage_anomalies()'), '42501', 'nor anon');
select tests.act_as_user('root');
select is((select count(*) from detect_usage_anomalies(1)), 3::bigint, 'a platform admin does');
select is(
  array(select tests.error_of(format('select detect_usage_anomalies(%s)', h)) from unnest(array['0', '745', 'null', '1', '744']) with ordinality h (h, n) order by n),
  array['PT400 invalid_hours', 'PT400 invalid_hours', 'PT400 invalid_hours', null, null], 'of 1 to 744 hours'
);
select is(
  array(select tests.error_of(format('select detect_usage_anomalies(threshold => %s)', h)) from unnest(array['1', '0', '-1', 'null', '1.01']) with ordinality h (h, n) order by n),
  array['PT400 invalid_threshold', 'PT400 invalid_threshold', 'PT400 invalid_threshold', 'PT400 invalid_threshold', null], 'by more than once what is usual'
);

select * from finish();
rollback;
