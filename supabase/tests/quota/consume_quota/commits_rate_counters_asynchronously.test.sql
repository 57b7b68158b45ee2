begin;
select plan(5);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('solo', 'startup');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('solo', 'ann', 'editor');
select tests.act_as_user('ann');
create function pg_temp.commits_after(p_path text, p_tenant text, p_metric text, p_key text default null) returns text
language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'on', true), set_config('request.path', p_path, true);
  perform public.consume_quota(tests.tenant_id(p_tenant), p_metric, 1, null, p_key);
  return current_setting('synchronous_commit');
end
$$;

select is(
  pg_temp.commits_after('/rpc/consume_quota', 'acme', 'api_calls'), 'off', 'a rate counter need not wait for the disk'
);
select is(
  pg_temp.commits_after('/rpc/consume_quota', 'acme', 'tokens'), 'on', 'one of a day does'
);
select is(
  pg_temp.commits_after('/rpc/consume_quota', 'solo', 'api_calls'), 'on', 'so does the same metric counted by the day'
);
select is(
  pg_temp.commits_after('/rpc/consume_quota', 'acme', 'api_calls', 'k1'), 'on', 'so does a grant with a key'
);
select is(
  pg_temp.commits_after('/rpc/other', 'acme', 'api_calls'), 'on', 'and a take inside of another call'
);

select * from finish();
rollback;
