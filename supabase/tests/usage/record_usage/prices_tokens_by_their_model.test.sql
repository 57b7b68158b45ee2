begin;
select plan(12);

select tests.create_tenant('acme', 'trial');
create function pg_temp.cost(p_event jsonb) returns numeric language plpgsql as $$
declare
  v_id text := gen_random_uuid();
begin
  perform public.record_usage(
    tests.tenant_id('acme'), jsonb_build_array(jsonb_build_object('event_id', v_id, 'event_type', 'ai_request') || p_event)
  );
  return (select cost_usd from public.tenant_usage_realtime where event_id = v_id);
end
$$;

select is(
  pg_temp.cost('{"tokens_consumed": 3000, "metadata": {"model": "gpt-4o", "prompt_tokens": 2000, "completion_tokens": 1000}}'),
  0.015, 'what went in and what came out, each at its price'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "metadata": {"model": "gpt-4o"}}'), 0.0075, 'all as input where that is not known'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "metadata": {"model": "gpt-4o", "prompt_tokens": 2000}}'), 0.0075, 'or only half known'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "metadata": {"model": "gpt-4o", "prompt_tokens": "2000", "completion_tokens": -1}}'),
  0.0075, 'or told in values that are none'
);
select is(
  pg_temp.cost('{"tokens_consumed": 1, "metadata": {"model": "gpt-4.1-nano"}}'), 0.0000001, 'to a ten-millionth of a dollar'
);
select is(
  pg_temp.cost('{"tokens_consumed": 50, "metadata": {"model": "gpt-4o", "prompt_tokens": 0, "completion_tokens": 0}}'), 0.0,
  'no tokens cost nothing'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "cost_usd": 0.5, "metadata": {"model": "gpt-4o"}}'), 0.5, 'a cost that is given wins'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "cost_usd": 0, "metadata": {"model": "gpt-4o"}}'), 0.0, 'be it zero'
);
select is(
  pg_temp.cost('{"tokens_consumed": 3000, "metadata": {"model": "homemade"}}'), null, 'the cost at an unknown model is not known'
);
select is(pg_temp.cost('{"tokens_consumed": 3000}'), null, 'nor without a model');
select is(
  pg_temp.cost('{"metadata": {"model": "gpt-4o", "prompt_tokens": 9007199254740991, "completion_tokens": 9007199254740991}}'),
  9999999999.0, 'a cost beyond reason is cut, not refused'
);
update public.model_prices set input_per_million = 5 where model = 'gpt-4o';
select is(
  pg_temp.cost('{"tokens_consumed": 1000000, "metadata": {"model": "gpt-4o"}}'), 5.0, 'prices are those of when it is recorded'
);

select * from finish();
rollback;
