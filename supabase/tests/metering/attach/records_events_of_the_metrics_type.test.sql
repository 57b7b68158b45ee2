begin;
select plan(8);

select tests.create_tenant('acme', 'enterprise');
create table public.jobs (id int, part text, tenant_id uuid, minutes int, primary key (part, id));
create function pg_temp.record_of(p_metric text, p_type text default null) returns text language plpgsql as $$
declare
  v_events text;
begin
  perform meter.attach('jobs', p_metric, 'minutes', event_type => p_type);
  insert into jobs values (1, 'a,b', tests.tenant_id('acme'), 7);
  select string_agg(
    concat_ws(' ', event_type, 'tokens', tokens_consumed, 'quantity', quantity::float, 'key', metadata ->> 'key', 'for', subject), ', '
  ) into v_events from public.tenant_usage_realtime;
  delete from jobs;
  delete from public.tenant_usage_realtime;
  perform meter.detach('jobs', p_metric);
  return v_events;
end
$$;

select is(pg_temp.record_of('run_minutes'), 'run_time tokens 0 quantity 7 key a,b,1 for ', 'where an event type counts for the metric');
select is(pg_temp.record_of('executions'), 'execution tokens 0 quantity 7 key a,b,1 for ', 'be it any');
select is(pg_temp.record_of('executions', 'search'), 'search tokens 0 quantity 7 key a,b,1 for ', 'or the one that is named');
select is(pg_temp.record_of('tokens', 'ai_request'), 'ai_request tokens 7 quantity 1 key a,b,1 for ', 'tokens as tokens');
select is(pg_temp.record_of('tokens'), 'ai_request tokens 7 quantity 1 key a,b,1 for ', 'which every type counts');
insert into public.metrics (id, unit, kind, default_period, description) values ('pages', 'page', 'counter', 'day', 'Pages');
select is(pg_temp.record_of('pages'), 'pages tokens 0 quantity 7 key a,b,1 for ', 'one of its own, where there is none');
select is(pg_temp.record_of('seats'), null, 'none of a gauge');
select is(tests.error_of($$ select pg_temp.record_of('tokens', 'nonsense') $$), '23503', 'an unknown type is refused');

select * from finish();
rollback;
