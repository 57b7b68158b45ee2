begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);

-- The limit falls after the look found room, and the first item was taken. Undone with that item, it would do so each time.
create function pg_temp.lower_limit() returns trigger language plpgsql as $$
begin
  insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (new.tenant_id, 'tokens', 'day', 7);
  return null;
end
$$;
create trigger lower_limit after insert on private.quota_counters
  for each row when (new.metric = 'embeddings') execute function pg_temp.lower_limit();

select results_eq(
  $$ select metric, allowed, used, limit_value, reason from consume_quotas(tests.tenant_id('acme'),
    '[{"metric": "embeddings", "amount": 5, "idempotency_key": "k1"}, {"metric": "tokens", "amount": 7}]') $$,
  $$ values ('embeddings', false, 0::bigint, 50::bigint, 'denied_together'), ('tokens', false, 1, 7, 'quota_exceeded') $$,
  'the answer is what the take saw'
);
select set_eq(
  'select metric, used, allowed from private.quota_counters', $$ values ('tokens', 1::bigint, 1::bigint) $$, 'with nothing taken'
);
select is_empty('select from private.quota_grants', 'no key kept');
select results_eq(
  $$ select (select count(*)::int from public.quota_decisions), (select sum(denied)::int from private.quota_denials) $$,
  $$ values (1, 1) $$, 'and one denial'
);

select * from finish();
rollback;
