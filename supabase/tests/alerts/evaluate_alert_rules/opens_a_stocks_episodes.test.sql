begin;
select plan(9);

update public.alert_rules set enabled = false;
select tests.create_tenant('acme', 'free');
insert into public.alert_rules (tenant_id, name, type, metric) values
  (tests.tenant_id('acme'), 'warning', 'quota_warning', 'workflows'), (tests.tenant_id('acme'), 'over', 'overage_detected', 'workflows');
create function pg_temp.stock(p_used int) returns text language plpgsql as $$
begin
  insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
  values (tests.tenant_id('acme'), 'workflows', 'none', '', '-infinity', p_used)
  on conflict (tenant_id, metric, period, subject) do update set used = excluded.used;
  return (select (opened, resolved)::text from evaluate_alert_rules());
end
$$;

select is(pg_temp.stock(7), '(0,0)', 'a stock that is small enough is not seen');
select is(pg_temp.stock(8), '(1,0)', 'one of 80 % is');
select is(pg_temp.stock(9), '(0,0)', 'once');
select is((select occurrences from public.alerts), 2, 'though it grows');
select is(pg_temp.stock(7), '(0,1)', 'when there is less, it is over');
select is(pg_temp.stock(8), '(1,0)', 'and when there is more again, that is an episode of its own');
select is(pg_temp.stock(11), '(1,0)', 'beyond the limit is another rule''s');
select is(pg_temp.stock(0), '(0,2)', 'both are over');
select is((select count(*) from public.alerts), 3::bigint, 'three episodes in all');

select * from finish();
rollback;
