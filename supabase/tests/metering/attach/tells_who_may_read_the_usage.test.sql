begin;
select plan(7);

select tests.create_user(name) from unnest(array['vic', 'bob']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
create table public.letters (id int generated always as identity primary key, tenant_id uuid);
alter table public.letters enable row level security;
create policy everyone_writes on public.letters for insert to anon, authenticated, service_role with check (true);
grant insert on public.letters to anon, authenticated, service_role;
select meter.attach('letters', 'chat_messages');
select set_custom_quota(tests.tenant_id('acme'), 'chat_messages', 1);
create function pg_temp.write() returns text language sql as $$
  select format('insert into letters (tenant_id) select %L from generate_series(1, 2)', tests.tenant_id('acme'))
$$;
create temp table plain as
select jsonb_build_object(
  'reason', 'quota_exceeded', 'metric', 'chat_messages', 'resets_at', date_trunc('day', now(), 'UTC') + interval '1 day'
) as d;
grant select on plain to anon, authenticated, service_role;

select tests.act_as_anon();
select is(tests.error_of(pg_temp.write()), 'PT429 quota_exceeded', 'a visitor''s row is refused');
select is(tests.detail_of(pg_temp.write()), d, 'with no number of the tenant') from plain;
select tests.act_as_user('bob');
select is(tests.detail_of(pg_temp.write()), d, 'so is another tenant''s') from plain;
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(tests.detail_of(pg_temp.write()), d, 'with a forged claim, too') from plain;
select tests.act_as_user('vic');
select is(
  (select d ->> 'plan_id' || ' ' || (d -> 'windows' -> 0 ->> 'limit_value') || ' ' || left(d ->> 'explanation', 30)
   from tests.detail_of(pg_temp.write()) d),
  'trial 1 Denied: 2 of chat_messages was', 'a viewer is told why'
);
select is((select d - 'decision_id' = d from tests.detail_of(pg_temp.write()) d), true, 'without a receipt that would not be found');
select tests.act_as_service_role();
select is((select d ->> 'plan_id' from tests.detail_of(pg_temp.write()) d), 'trial', 'so is the service role');

select * from finish();
rollback;
