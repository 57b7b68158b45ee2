begin;
select plan(3);

select tests.create_user('ann');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'ann', 'editor');
select set_custom_quota(tests.tenant_id('acme'), 'workflows', 2, 'month');
create table public.flows (id int primary key, tenant_id uuid);
grant insert on public.flows to authenticated;
insert into flows select i, tests.tenant_id('acme') from generate_series(1, 4) i;
create temp view used as select period::text, subject, used from tests.quota_counters;

select meter.attach('flows', 'workflows');
select set_eq('table used', $$ values ('none', '', 4::bigint) $$, 'what is there happened in no window');
select tests.act_as_user('ann');
insert into flows values (5, tests.tenant_id('acme'));
select tests.act_as_owner();
select set_eq(
  'table used', $$ values ('none', '', 5::bigint), ('month', '', 1) $$, 'what comes does, and is nobody''s, whoever brings it'
);
delete from flows where id < 3;
select set_eq('table used', $$ values ('none', '', 3::bigint), ('month', '', 1) $$, 'what goes came nevertheless');

select * from finish();
rollback;
