begin;
select plan(9);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
create function pg_temp.commits_after(p_path text, p_call text) returns text language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'on', true), set_config('request.path', p_path, true);
  execute 'select from public.' || p_call;
  return current_setting('synchronous_commit');
end
$$;
create function pg_temp.batch(p_tenant text, p_metric text, p_amounts text default '{1}', p_keys text default null) returns text
language sql as $$
  select pg_temp.commits_after('/rpc/consume_quota_batch', format(
    'consume_quota_batch(%L, %L, %L, null, %L)', tests.tenant_id(p_tenant), p_metric, p_amounts, p_keys
  ))
$$;
create function pg_temp.batches(p_metrics text[]) returns text language sql as $$
  select pg_temp.commits_after('/rpc/consume_quota_batches', format('consume_quota_batches(%L)', (
    select jsonb_agg(jsonb_build_object('tenant_id', tests.tenant_id('acme'), 'metric', m, 'amounts', array[1])) from unnest(p_metrics) m
  )))
$$;

select is(pg_temp.batch('acme', 'api_calls', '{5, 5}'), 'off', 'a rate counter need not wait for the disk');
select is(pg_temp.batch('acme', 'tokens'), 'on', 'one of a day does');
select is(pg_temp.batch('solo', 'api_calls'), 'on', 'so does the same metric counted by the day');
select is(pg_temp.batch('acme', 'api_calls', '{1}', '{k1}'), 'on', 'so does a grant with a key');
select is(pg_temp.batch('acme', 'api_calls', '{1, 30}'), 'on', 'so does a receipt that is new');
select is(pg_temp.batch('acme', 'api_calls', '{30, 30}'), 'off', 'but not one that was given before');
select is(pg_temp.batches(array['api_calls', 'api_calls']), 'off', 'several groups of rate counters need not, either');
select is(pg_temp.batches(array['api_calls', 'tokens']), 'on', 'one that must makes all wait');
select set_custom_quota(tests.tenant_id('acme'), 'analysis_runs', 5);
select is(pg_temp.batches(array['analysis_runs', 'api_calls']), 'on', 'wherever it stands');

select * from finish();
rollback;
