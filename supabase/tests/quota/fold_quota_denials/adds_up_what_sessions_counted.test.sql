begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
insert into private.quota_denials (tenant_id, metric, source, denied)
select tests.tenant_id(t), m, s, d
from (values ('acme', 'tokens', 0, 1), ('acme', 'tokens', 11, 20), ('acme', 'tokens', 12, 300), ('acme', 'seats', 11, 4000),
  ('rival', 'tokens', 11, 50000)) r (t, m, s, d);

select private.fold_quota_denials();
select set_eq(
  'select tenant_id, metric, source, denied from private.quota_denials',
  $$ values (tests.tenant_id('acme'), 'tokens', 0, 321::bigint), (tests.tenant_id('acme'), 'seats', 0, 4000),
       (tests.tenant_id('rival'), 'tokens', 0, 50000) $$,
  'in one row for each tenant and metric'
);
select consume_quota(tests.tenant_id('acme'), 'tokens', 10001) from generate_series(1, 2);
select set_eq(
  $$ select source, denied from private.quota_denials where tenant_id = tests.tenant_id('acme') and metric = 'tokens' $$,
  $$ values (0, 321::bigint), (pg_backend_pid(), 2) $$, 'a session begins anew after it'
);
select private.fold_quota_denials();
select private.fold_quota_denials();
select set_eq(
  $$ select source, denied from private.quota_denials where tenant_id = tests.tenant_id('acme') and metric = 'tokens' $$,
  $$ values (0, 323::bigint) $$, 'and is added the next time, once'
);
select tests.act_as_service_role();
select throws_ok('select private.fold_quota_denials()', '42501', null, 'no API role folds');

select * from finish();
rollback;
