begin;
select plan(8);

select tests.create_tenant('t1', 'trial');
insert into public.audit_events (tenant_id, event_type, action, actor_type, actor_id, entity_type, entity_id, occurred_at)
select tests.tenant_id('t' || i % 200), 'x', 'x', 'system', 'u' || i % 500, 'thing', (i % 1000)::text,
  date_trunc('month', now(), 'UTC') + i * interval '1 minute'
from generate_series(1, 20000) i;
insert into public.audit_resolutions (event_id, tenant_id, occurred_at)
select event_id, tenant_id, occurred_at from public.audit_events where event_type = 'x' and entity_id = '1';
analyze public.audit_events, public.audit_resolutions;

-- Counted by Postgres while the function runs, so that this holds of its own statements.
create function pg_temp.rows_read() returns bigint language sql as $$
  select sum(pg_stat_get_xact_tuples_returned(inhrelid))::bigint
  from pg_inherits where inhparent = 'public.audit_events'::regclass
$$;
create function pg_temp.cost(p_arguments text) returns text language plpgsql as $$
declare
  v_before bigint := pg_temp.rows_read();
begin
  execute 'select count(*) from get_audit_events(' || p_arguments || ')';
  return case pg_temp.rows_read() - v_before when 0 then 'by index' else 'reads tables' end;
end
$$;

select is(pg_temp.cost('tests.tenant_id(''t1'')'), 'by index', 'a tenant''s events are found by index');
select is(pg_temp.cost('tests.tenant_id(''t1''), ''x'', severity => ''info'', result => ''success'''), 'by index', 'those of a type as well');
select is(
  pg_temp.cost('tests.tenant_id(''t1''), before_ts => date_trunc(''month'', now(), ''UTC'') + interval ''5 days'', before_id => gen_random_uuid()'),
  'by index', 'and the next page'
);
select is(pg_temp.cost('tests.tenant_id(''t1''), entity_id => ''1'', entity_type => ''thing'''), 'by index', 'what was done to a thing');
select is(pg_temp.cost('user_id => gen_random_uuid()'), 'by index', 'and by somebody, in every tenant');
select is(pg_temp.cost('entity_id => ''7'', entity_type => ''thing'''), 'by index', 'or to a thing');
select is(
  (select count(*) from get_audit_events(tests.tenant_id('t1'), 'x', max_rows => 1000)), 100::bigint, 'they are found'
);
select matches(
  pg_temp.cost('severity => ''error'''), 'reads tables', 'what has no index reads all, so that this test would see it'
);

select * from finish();
rollback;
