begin;
select plan(5);

-- The same request is granted in another session after this one looked for its key.
select tests.create_tenant('acme', 'trial');
create function pg_temp.grant_twin() returns trigger language plpgsql as $$
begin
  insert into private.quota_grants (tenant_id, idempotency_key, metric, amount, subject, answer)
  values (
    new.tenant_id, 'k1', 'tokens', 10, '',
    row(true, 'tokens', 'day', 10000, 10, 9990, null, null, null, null)::public.reservation_answer
  )
  on conflict do nothing;
  return null;
end
$$;
create trigger grant_twin after insert on private.quota_counters
  for each row execute function pg_temp.grant_twin();

select is(
  (select (allowed, used, remaining)::text
   from consume_quota(tests.tenant_id('acme'), 'tokens', 10, idempotency_key => 'k1')),
  '(t,10,9990)', 'is answered as the twin was'
);
select is((select used from private.quota_counters), 0::bigint, 'and takes nothing of its own');
select is((select count(*) from private.quota_grants), 1::bigint, 'nor keeps a grant of its own');

delete from private.quota_counters;
delete from private.quota_grants;
select is(
  tests.error_of($$ select consume_quota(tests.tenant_id('acme'), 'tokens', 11, idempotency_key => 'k1') $$),
  'PT409 idempotency_key_reused', 'another request that lost the race is refused'
);
select is_empty('select from private.quota_counters', 'and rolled back');

select * from finish();
rollback;
