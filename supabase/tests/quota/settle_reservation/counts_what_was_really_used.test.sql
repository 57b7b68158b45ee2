begin;
select plan(9);

select tests.create_tenant('acme', 'trial');
create temp table held (name text, id uuid);
insert into held
select name, r.reservation_id
from (values ('lower', 1000), ('higher', 1001), ('equal', 1002), ('zero', 1003), ('past', 1004)) as h (name, amount)
cross join lateral reserve_quota(tests.tenant_id('acme'), 'tokens', h.amount) r;
create function pg_temp.settle(p_name text, p_actual bigint) returns text language sql as $$
  select (s.allowed, s.metric, s.period, s.limit_value, s.used, s.remaining, s.reservation_id = h.id)::text
  from held h cross join lateral settle_reservation(h.id, p_actual) s where h.name = p_name
$$;

select is((select used from private.quota_counters), 5010::bigint, 'reserved is used');
select is(pg_temp.settle('lower', 400), '(t,tokens,day,10000,4410,5590,t)', 'less is given back');
select is(pg_temp.settle('higher', 2001), '(t,tokens,day,10000,5410,4590,t)', 'more is taken');
select is(pg_temp.settle('equal', 1002), '(t,tokens,day,10000,5410,4590,t)', 'the same changes nothing');
select is(pg_temp.settle('zero', 0), '(t,tokens,day,10000,4407,5593,t)', 'nothing gives all back');
select is(
  pg_temp.settle('past', 9000), '(t,tokens,day,10000,12403,0,t)', 'what was used is used, past the limit, too'
);
select is((select used from private.quota_counters), 12403::bigint, 'so it is counted');
select is(
  (select (allowed, used, remaining)::text from consume_quota(tests.tenant_id('acme'), 'tokens')), '(f,12403,0)',
  'and denies what comes after'
);
select is(
  (select string_agg(status || ' ' || (closed_at = now()), ', ') from private.quota_reservations),
  'settled true, settled true, settled true, settled true, settled true', 'all are closed'
);

select * from finish();
rollback;
