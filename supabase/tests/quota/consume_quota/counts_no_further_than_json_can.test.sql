begin;
select plan(3);

select tests.create_tenant('corp', 'enterprise');

select is(
  (select (allowed, used)::text from consume_quota(tests.tenant_id('corp'), 'tokens', 9007199254740991)),
  '(t,9007199254740991)', 'counts to the largest integer that JavaScript holds exactly'
);
create temp table denials as select * from consume_quota(tests.tenant_id('corp'), 'tokens', 1);
select is(
  (select (allowed, limit_value, used, reason)::text from denials), '(f,,9007199254740991,quota_exceeded)',
  'and denies rather than count wrong'
);
insert into denials select * from consume_quota(tests.tenant_id('corp'), 'tokens', 1);
select is((select count(distinct decision_id) from denials), 1::bigint, 'with one receipt, as for any limit');

select * from finish();
rollback;
