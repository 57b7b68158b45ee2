begin;
select plan(6);

select tests.create_tenant('acme', 'startup');
select tests.create_tenant('team', 'trial');
select consume_quota(tests.tenant_id('acme'), 'analysis_runs', 1, 'u1');
create temp table held (name text, id uuid);
insert into held
select name, r.reservation_id
from (values ('a', 'acme', 'analysis_runs', 3, 'u1'), ('b', 'acme', 'analysis_runs', 4, 'u1'), ('c', 'acme', 'analysis_runs', 5, 'u2'),
    ('d', 'team', 'tokens', 600, 'u1'), ('e', 'team', 'tokens', 700, 'u2'), ('f', 'team', 'embeddings', 8, ''))
  as h (name, tenant, metric, amount, subject)
cross join lateral reserve_quota(tests.tenant_id(h.tenant), h.metric, h.amount, h.subject) r;
select extend_reservation(id, 2) from held where name in ('b', 'e');
select extend_reservation(id, 5) from held where name = 'e';
create temp view counters as
select t.name, c.metric, c.period::text, c.subject, c.used
from private.quota_counters c join public.tenants t on t.id = c.tenant_id;

update private.quota_reservations set expires_at = now() where id <> (select id from held where name = 'f');
select private.expire_reservations();
select set_eq(
  'table counters',
  $$ values ('acme', 'analysis_runs', 'day', 'u1', 5::bigint), ('acme', 'analysis_runs', 'month', 'u1', 5),
       ('acme', 'analysis_runs', 'day', 'u2', 0), ('acme', 'analysis_runs', 'month', 'u2', 0),
       ('team', 'tokens', 'day', '', 702), ('team', 'embeddings', 'day', '', 8) $$,
  'in every window, for every subject, together'
);
select set_eq(
  'select h.name, r.status, r.closed_at = now() from held h join private.quota_reservations r using (id)',
  $$ values ('a', 'expired', true), ('b', 'expired', true), ('c', 'expired', true), ('d', 'expired', true),
       ('e', 'expired', true), ('f', 'open', null) $$,
  'and closes them'
);
select set_eq(
  'select metric, allowed, denied from get_quota_checks(tests.tenant_id(''team''))',
  $$ values ('tokens', 4::bigint, 0::bigint), ('embeddings', 1, 0) $$, 'what had been granted, was'
);

select private.expire_reservations();
select is((select sum(used) from counters), 720::numeric, 'a second sweep changes nothing');

-- A reset, or an amount that was settled past, never makes a counter negative.
select reset_quota_counter(tests.tenant_id('team'), 'embeddings');
update private.quota_counters set used = 3 where metric = 'embeddings';
update private.quota_reservations set expires_at = now() where status = 'open';
select private.expire_reservations();
select is((select used from counters where metric = 'embeddings'), 0::bigint, 'a counter that holds less is left at nothing');
select tests.act_as_service_role();
select throws_ok('select private.expire_reservations()', '42501', null, 'no API role sweeps');

select * from finish();
rollback;
