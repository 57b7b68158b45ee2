begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select consume_quota(tests.tenant_id('acme'), 'tokens', 1);

-- The limit falls after the look found room, and the first item was taken. Undone with that item, it does so each time.
create function pg_temp.lower_limit() returns trigger language plpgsql as $$
begin
  insert into public.tenant_limits (tenant_id, metric, period, limit_value) values (new.tenant_id, 'tokens', 'day', 7);
  return null;
end
$$;
create trigger lower_limit after insert on private.quota_counters
  for each row when (new.metric = 'embeddings') execute function pg_temp.lower_limit();

select is(
  tests.error_of($$ select consume_quotas(tests.tenant_id('acme'),
    '[{"metric": "embeddings", "amount": 5, "idempotency_key": "k1"}, {"metric": "tokens", "amount": 7}]') $$),
  'PT503 quota_contended', 'again and again ends the call'
);
select set_eq(
  'select metric, used, allowed from private.quota_counters', $$ values ('tokens', 1::bigint, 1::bigint) $$, 'with nothing taken'
);
select is_empty('select from private.quota_grants', 'no key kept');
select is_empty('select 1 from public.quota_decisions union all select 1 from private.quota_denials', 'and no denial counted');

select * from finish();
rollback;
