begin;
select plan(19);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.set_clock('acme'); -- noon of the 10th
create function pg_temp.cost(p_type text, p_ago interval, p_cost numeric, p_tenant text default 'acme') returns void language sql as $$
  insert into public.tenant_usage_metrics
  select (jsonb_populate_record(
    (select m from (
      select (to_jsonb(private.summarize_usage(
        tests.tenant_id(p_tenant), p_type, private.window_start(private.usage_window(p_type), tests.noon() - p_ago), null, null
      )) || jsonb_build_object('metric_id', gen_random_uuid(), 'estimated_cost_usd', p_cost)) as j
    ) s cross join lateral jsonb_populate_record(null::public.tenant_usage_metrics, s.j) m), '{}'
  )).*
  on conflict (tenant_id, period_type, period_start) do update set estimated_cost_usd = excluded.estimated_cost_usd
$$;
-- What is seen when the first period cost so much, and the next.
create function pg_temp.opened(p_type text, p_before numeric, p_now numeric) returns int language plpgsql as $$
begin
  perform pg_temp.cost(p_type, case p_type when 'hourly' then '1 hour' when 'daily' then '1 day' else '1 month' end::interval, p_before);
  perform pg_temp.cost(p_type, '0', p_now);
  return (select opened from evaluate_alert_rules());
end
$$;
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'cost', 'cost_spike');

select is(pg_temp.opened('daily', 4, 9.99), 0, 'less than 150 % above yesterday is no spike');
select is(pg_temp.opened('hourly', 4, 100), 0, 'nor is an hour''s cost one of the day');
select is(pg_temp.opened('monthly', 4, 100), 0, 'nor a month''s');
select is(pg_temp.opened('daily', 0, 100), 0, 'after nothing there is none either');
select is(pg_temp.opened('daily', 0.001, 0.00999), 0, 'less than a cent is no cost');
select pg_temp.cost('daily', '0', 100, 'globex'), pg_temp.cost('daily', '1 day', 1, 'globex');
select is(pg_temp.opened('daily', 4, 10), 1, '150 % above is one');
select results_eq(
  $$ select tenant_id, severity::text, title, message, data - 'tenant_id' - 'tenant_name' from public.alerts $$,
  $$ values (tests.tenant_id('acme'), 'high', 'Cost Spike', 'The cost of this day is $10.00, 150% above the one before.', jsonb_build_object(
       'threshold', 150, 'window_minutes', 1440, 'period_type', 'daily', 'period_start', private.window_start('day', tests.noon()), 'cost_usd', 10,
       'previous_cost_usd', 4
     )) $$,
  'with both costs'
);
select is(pg_temp.opened('daily', 4, 12), 0, 'more is the same spike');
select is((select occurrences from public.alerts), 2, 'seen again');
select pg_temp.opened('daily', 12, 12);
select is((select status::text from public.alerts), 'resolved', 'one that is none any more is over');
select is(pg_temp.opened('daily', 4, 100), 0, 'and opens once in a day');
update public.tenants set clock_offset = clock_offset + interval '1 day' where id = tests.tenant_id('acme');
select is((select opened from evaluate_alert_rules()), 0, 'the next day has cost nothing yet');
select pg_temp.cost('daily', '-1 day', 250);
select is((select opened from evaluate_alert_rules()), 1, 'then it is one of its own');

-- The window says which period.
create function pg_temp.of(p_minutes int, p_threshold numeric default null) returns text language plpgsql as $$
declare
  v_before uuid[] := array(select id from public.alerts);
begin
  delete from public.alert_rules where tenant_id is not null;
  insert into public.alert_rules (tenant_id, name, type, window_minutes, threshold) values (tests.tenant_id('acme'), 'cost', 'cost_spike', p_minutes, p_threshold);
  perform evaluate_alert_rules();
  return (select string_agg(concat_ws(' ', data ->> 'period_type', data ->> 'cost_usd'), ', ') from public.alerts where id <> all (v_before));
end
$$;
select pg_temp.cost('hourly', '-24 hours', 5), pg_temp.cost('hourly', '-22 hours', 1);
select pg_temp.cost('monthly', '0', 10), pg_temp.cost('monthly', '1 month', 4);
select is(pg_temp.of(1439), null, 'an hour that follows none');
select pg_temp.cost('hourly', '-23 hours', 2);
select is(pg_temp.of(1439), 'hourly 5', 'up to a day it is the hour');
select is(pg_temp.of(1440), 'daily 250', 'from a day on the day');
select is(pg_temp.of(40319), 'daily 250', 'up to four weeks');
select is(pg_temp.of(40320), 'monthly 10', 'then the month');
select is(pg_temp.of(40320, 151), null, 'by the rule''s own threshold');

select * from finish();
rollback;
