begin;
select plan(16);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech']) t;
update public.tenants set clock_offset = '40 days' where id = tests.tenant_id('initech');
-- What was used in the hour that began so many hours before the one under way.
create function pg_temp.use(p_tenant text, p_hours int, p_quantity numeric, p_metric text default 'tokens') returns void language sql as $$
  with h as (select date_trunc('hour', private.tenant_now(tests.tenant_id(p_tenant)), 'UTC') - p_hours * interval '1 hour' as hour),
  counts as (
    insert into private.usage_rollups (tenant_id, period_type, period_start, counts)
    select tests.tenant_id(p_tenant), 'hourly', hour, jsonb_populate_record(null::private.usage_counts, '{"events": 1000000}') from h on conflict do nothing
  ),
  metrics as (
    insert into public.tenant_usage_metrics
    select (jsonb_populate_record(null::public.tenant_usage_metrics, to_jsonb(private.summarize_usage(tests.tenant_id(p_tenant), 'hourly', hour, null, null))
      || jsonb_build_object('metric_id', gen_random_uuid()))).*
    from h on conflict do nothing
  )
  insert into public.tenant_metric_usage (tenant_id, metric, period_type, period_start, quantity)
  select tests.tenant_id(p_tenant), p_metric, 'hourly', hour, p_quantity from h
  on conflict (tenant_id, metric, period_type, period_start) do update set quantity = excluded.quantity
$$;
create function pg_temp.usual(p_tenant text, p_hours int, p_metric text default 'tokens') returns void language sql as $$
  select pg_temp.use(p_tenant, p_hours + 168 * w, 100000, p_metric) from generate_series(1, 4) w
$$;
create function pg_temp.opens() returns text language plpgsql as $$
declare
  v_before uuid[] := array(select id from public.alerts);
begin
  perform evaluate_alert_rules();
  return (
    select string_agg(concat_ws(' ', r.name, t.name, a.data ->> 'metric', a.data ->> 'ratio'), ', ' order by r.name, t.name, a.data ->> 'metric')
    from public.alerts a join public.alert_rules r on r.id = a.rule_id left join public.tenants t on t.id = (a.data ->> 'tenant_id')::uuid where a.id <> all (v_before)
  );
end
$$;
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'unusual', 'usage_anomaly');

select pg_temp.usual(t, h, m), pg_temp.use(t, h, 199999, m) from unnest(array['acme', 'globex', 'initech']) t, generate_series(0, 3) h, unnest(array['tokens', 'embeddings']) m;
select pg_temp.use('globex', 0, 900000), pg_temp.use('acme', 2, 900000);
select is(pg_temp.opens(), null, 'less than twice what is usual in the last hours is usual, of acme''s');
select pg_temp.use('acme', 1, 200000), pg_temp.use('acme', 0, 250000, 'embeddings');
select is(pg_temp.opens(), 'unusual acme embeddings 2.50, unusual acme tokens 2.00', 'twice is not, of the hour before or under way, each metric by itself');
select results_eq(
  $$ select tenant_id, severity::text, title, message, data - 'tenant_id' - 'tenant_name' from public.alerts where data ->> 'metric' = 'tokens' $$,
  $$ values (tests.tenant_id('acme'), 'high', 'Unusual Usage', 'Tokens: 200000 in an hour, where 100000 is usual.', jsonb_build_object(
       'threshold', 2, 'window_minutes', 60, 'metric', 'tokens', 'hour', date_trunc('hour', now(), 'UTC') - interval '1 hour', 'observed', 200000, 'expected', 100000.0000, 'ratio', 2.00
     )) $$,
  'with what is usual'
);
select pg_temp.use('acme', 0, 300000);
select is(pg_temp.opens(), null, 'another hour is the same alert');
select is((select (occurrences, data -> 'ratio')::text from public.alerts where data ->> 'metric' = 'tokens'), '(2,3.00)', 'the most unusual is said');
select pg_temp.use('acme', 0, 100000), pg_temp.use('acme', 1, 100000);
select is((select resolved from evaluate_alert_rules()), 1, 'when none is unusual any more, it is over');
select is((select status::text from public.alerts where data ->> 'metric' = 'embeddings'), 'open', 'the other is not');

-- Rules of their own.
delete from public.alert_rules where tenant_id is not null;
select pg_temp.use('acme', 2, 100000), pg_temp.use('acme', 0, 300000), pg_temp.use('acme', 2, 900000, 'embeddings'), pg_temp.use('acme', 0, 100000, 'embeddings'), pg_temp.use('acme', 1, 100000, 'embeddings');
insert into public.alert_rules (tenant_id, name, type, threshold, window_minutes, metric) values
  (tests.tenant_id('acme'), 'three', 'usage_anomaly', 3, null, null), (tests.tenant_id('acme'), 'more', 'usage_anomaly', 3.01, null, null),
  (tests.tenant_id('acme'), 'long', 'usage_anomaly', 9, 61, null), (tests.tenant_id('acme'), 'longer', 'usage_anomaly', 9.1, 120, null),
  (tests.tenant_id('acme'), 'embeddings', 'usage_anomaly', 3, 120, 'embeddings'), (tests.tenant_id('globex'), 'globex', 'usage_anomaly', 9, 1, null);
select is(pg_temp.opens(), 'embeddings acme embeddings 9.00, globex globex tokens 9.00, long acme embeddings 9.00, three acme tokens 3.00', 'each by its threshold, window and metric');
update public.tenants set status = 'suspended' where id = tests.tenant_id('globex');
select is((select resolved from evaluate_alert_rules()), 1, 'a tenant that is suspended is not watched');
-- The operator's, and a tenant whose time is ahead.
delete from public.alert_rules;
update public.tenants set status = 'active';
insert into public.alert_rules (name, type, threshold) values ('all', 'usage_anomaly', 3);
select pg_temp.use('initech', 0, 400000);
select is(pg_temp.opens(), 'all acme tokens 3.00, all globex tokens 9.00, all initech tokens 4.00', 'an operator''s rule sees every tenant, each in its time');
select is((select count(*) from public.alerts where tenant_id is null and opened_at = now()), 3::bigint, 'the alerts are the operator''s');
select is((select count(*) from public.alerts where dedup_key ~ tests.tenant_id('initech')::text), 1::bigint, 'about each tenant by itself');
-- A threshold of one or none finds nothing below what is usual.
delete from public.alert_rules;
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'none', 'usage_anomaly', 0);
select pg_temp.use('acme', 0, 100000), pg_temp.use('acme', 1, 100000);
select is(pg_temp.opens(), null, 'a threshold of 0 finds what is above what is usual, and no more');
select pg_temp.use('acme', 1, 102000);
select is(pg_temp.opens(), 'none acme tokens 1.02', 'by more than chance');
select is((select resolved from evaluate_alert_rules(now() + interval '2 hours')), 1, 'two hours later it is over');
select is_empty($$ select from public.alerts where status = 'open' and rule_id is not null $$, 'nothing is left');

select * from finish();
rollback;
