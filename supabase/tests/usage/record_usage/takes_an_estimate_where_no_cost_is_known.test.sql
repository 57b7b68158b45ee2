begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create function pg_temp.cost(p_event jsonb) returns numeric language plpgsql as $$
declare
  v_id text := gen_random_uuid();
begin
  perform record_usage(
    tests.tenant_id('acme'),
    jsonb_build_array(
      '{"event_type": "ai_request", "tokens_consumed": 1000000}' || jsonb_build_object('event_id', v_id) || p_event
    )
  );
  return (select cost_usd from public.tenant_usage_realtime where event_id = v_id);
end
$$;

select is(pg_temp.cost('{"estimated_cost_usd": 0.25}'), 0.25, 'what the caller estimates');
select is(
  pg_temp.cost('{"estimated_cost_usd": 0.25, "metadata": {"model": "homemade"}}'), 0.25, 'of a model without a price, too'
);
select is(pg_temp.cost('{"estimated_cost_usd": 0.25, "metadata": {"model": "gpt-4o"}}'), 2.5, 'counts less than a price');
select is(
  pg_temp.cost('{"estimated_cost_usd": 0.25, "cost_usd": 0.75, "metadata": {"model": "gpt-4o"}}'), 0.75,
  'and a price less than what it cost'
);
select is(pg_temp.cost('{"estimated_cost_usd": null}'), null, 'null is no estimate');
select is(
  (select rejected -> 0 ->> 'reason' || ' ' || (rejected -> 0 ->> 'field') from record_usage(
    tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "ai_request", "estimated_cost_usd": -1}]'
  )),
  'negative_amount estimated_cost_usd', 'nor is less than nothing'
);

select * from finish();
rollback;
