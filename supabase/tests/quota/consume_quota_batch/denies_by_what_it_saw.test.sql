begin;
select plan(3);

select tests.create_tenant('acme', 'startup');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 18, 'u1');

-- Another caller gives back after this one saw the counters, and before it takes.
create function pg_temp.give_back() returns trigger language plpgsql as $$
begin
  new.used := new.used - 18;
  return new;
end
$$;
create trigger give_back before update on private.quota_counters for each row execute function pg_temp.give_back();

select results_eq(
  $$ select allowed, reason from consume_quota_batch(tests.tenant_id('acme'), 'analysis_runs', '{1, 5}', 'u1') $$,
  $$ values (true, null), (false, 'quota_exceeded') $$, 'an amount that did not fit then is denied'
);
select set_eq(
  'select period::text, used from private.quota_counters', $$ values ('day', 1::bigint), ('month', 1) $$,
  'what did fit is taken'
);
select is(
  (select (period, amount, amount > limit_value - used)::text from public.quota_decisions), '(day,5,t)',
  'and the receipt shows why there was no room'
);

select * from finish();
rollback;
