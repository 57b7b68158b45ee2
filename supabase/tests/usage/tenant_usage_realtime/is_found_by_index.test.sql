begin;
select plan(7);

insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't' || i, 't' || i, 'trial' from generate_series(1, 200) i;
select tests.create_user('vic');
select tests.add_member('t1', 'vic', 'viewer');
insert into public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, batch_id)
select tests.tenant_id('t' || i), date_trunc('day', now(), 'UTC') + j * interval '10 minutes', j::text, 'search', i
from generate_series(1, 200) i, generate_series(1, 100) j;
insert into private.usage_event_keys (tenant_id, event_id)
select tests.tenant_id('t' || i), j::text from generate_series(1, 200) i, generate_series(1, 100) j;
analyze public.tenants, public.memberships, public.tenant_usage_realtime, private.usage_event_keys;

create function pg_temp.plan_of_today(p_more text) returns text language sql as $$
  select tests.plan_of(format(
    'select * from public.tenant_usage_realtime where event_timestamp >= %L and event_timestamp < %L %s',
    date_trunc('day', now(), 'UTC'), date_trunc('day', now(), 'UTC') + interval '1 day', p_more
  ))
$$;

select tests.act_as_user('vic');
select matches(
  pg_temp.plan_of_today(''), 'Index Cond: \(+tenant_id = ANY', 'the policy''s tenants are looked up in the key'
);
select doesnt_match(pg_temp.plan_of_today(''), 'Seq Scan on tenant_usage_realtime', 'and no day is read whole');
select doesnt_match(
  pg_temp.plan_of_today('order by event_timestamp desc limit 50'), 'Seq Scan on tenant_usage_realtime', 'nor for the latest'
);
select matches(
  pg_temp.plan_of_today(format('and tenant_id = %L', tests.tenant_id('t1'))), 'Index Cond: .*tenant_id = ''',
  'a tenant that is named is looked up, too'
);
select matches(
  pg_temp.plan_of_today(''), 'InitPlan', 'the policy asks once per query'
);

select tests.act_as_owner();
select matches(
  pg_temp.plan_of_today('and batch_id = any (array[3, 4]::bigint[])'), 'Index Scan.*batch_id_idx|Index Cond: \(batch_id',
  'a roll-up finds a batch''s events by its index'
);
select matches(
  tests.plan_of($$ select from private.usage_event_keys where tenant_id = tests.tenant_id('t1') and event_id = '7' $$),
  'Index (Only )?Scan using usage_event_keys_pkey', 'an id is found by its key'
);

select * from finish();
rollback;
