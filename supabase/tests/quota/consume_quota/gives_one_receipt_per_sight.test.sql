begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create temp table denials (place serial, id uuid);
create function pg_temp.deny(p_tenant text, p_amount bigint) returns void language sql as $$
  insert into denials (id)
  select decision_id from consume_quota(tests.tenant_id(p_tenant), 'tokens', p_amount) where not allowed
$$;

select pg_temp.deny('acme', 10001);
select pg_temp.deny('acme', 10001);
select pg_temp.deny('acme', 20000);
select is((select count(id) from denials), 3::bigint, 'every denial has a receipt');
select is((select count(distinct id) from denials), 1::bigint, 'the same one while the counters are the same');
select is((select count(*) from public.quota_decisions), 1::bigint, 'written once');

select consume_quota(tests.tenant_id('acme'), 'tokens', 1);
select pg_temp.deny('acme', 10001);
select is((select count(distinct id) from denials), 2::bigint, 'other counters, another receipt');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 9000);
select pg_temp.deny('acme', 10001);
select is((select count(distinct id) from denials), 3::bigint, 'another limit, another receipt');
update public.tenants set clock_offset = '1 day' where id = tests.tenant_id('acme');
select pg_temp.deny('acme', 10001);
select is((select count(distinct id) from denials), 4::bigint, 'another window, another receipt');
select pg_temp.deny('rival', 10001);
select is((select count(distinct id) from denials), 5::bigint, 'another tenant, another receipt');
select set_eq('select id from public.quota_decisions', 'select distinct id from denials', 'and all of them are kept');

select * from finish();
rollback;
