begin;
select plan(5);

select tests.create_tenant('acme', 'trial');
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
values (tests.tenant_id('acme'), 'tokens', 'day', 'subject', 6000);
create function pg_temp.take(p_amount bigint, p_subject text) returns text language sql as $$
  select (c.allowed, c.limit_value, c.used, c.remaining)::text from consume_quota(tests.tenant_id('acme'), 'tokens', p_amount, p_subject) c
$$;

select is(pg_temp.take(5000, 'u1'), '(t,6000,5000,1000)', 'the subject''s own is the tighter');
select is(pg_temp.take(1001, 'u1'), '(f,6000,5000,1000)', 'and denies');
select is(pg_temp.take(4500, 'u2'), '(t,10000,9500,500)', 'the tenant''s is the tighter for the next');
select is(pg_temp.take(501, 'u2'), '(f,10000,9500,500)', 'and denies, too');
select set_eq(
  'select subject, used from private.quota_counters', $$ values ('', 9500::bigint), ('u1', 5000), ('u2', 4500) $$,
  'both are counted'
);

select * from finish();
rollback;
