begin;
select plan(2);

select tests.create_user('olga');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
insert into public.audit_events (tenant_id, event_type, action, actor_type, occurred_at)
select md5('tenant ' || i % 200)::uuid, 'x', 'x', 'system', date_trunc('month', now(), 'UTC') + i * interval '1 minute'
from generate_series(1, 20000) i;
analyze public.audit_events;

select tests.act_as_user('olga');
create temp table plan as
select tests.plan_of(format(
  'select * from public.audit_events where occurred_at >= %L and occurred_at < %L',
  date_trunc('month', now(), 'UTC'), date_trunc('month', now(), 'UTC') + interval '14 days'
)) as text;
select matches(text, 'Index Cond: \(+tenant_id = ANY', 'the policy''s tenants are looked up by index') from plan;
select doesnt_match(text, 'Seq Scan on audit_events', 'and no month is read whole') from plan;

select * from finish();
rollback;
