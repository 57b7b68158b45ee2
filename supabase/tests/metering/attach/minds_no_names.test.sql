begin;
select plan(8);

select tests.create_tenant('acme', 'enterprise');
create schema "My App";
create table "My App"."Table's ""rows""" (
  "The Id" int primary key, tenant_id text, sign int, amount int, row_key text, subject text, r int, s int, a int, t int, "Size %s" int
);
select meter.attach('"My App"."Table''s ""rows"""', 'chat_messages', '"Size %s" + amount + sign + r + s + a + t', subject => 'subject');
select meter.attach('"My App"."Table''s ""rows"""', 'connectors', 'r + s + a - 900', subject => 'row_key');
insert into "My App"."Table's ""rows""" values (7, tests.tenant_id('acme')::text, 1, 10, 'k', 'someone', 100, 1000, 2, 20, 300);
select set_eq(
  'select metric, subject, used from private.quota_counters',
  $$ values ('chat_messages', '', 1433::bigint), ('connectors', '', 202), ('connectors', 'k', 202) $$, 'of columns'
);
select is(
  (select (subject, quantity::int, metadata)::text from public.tenant_usage_realtime),
  (select ('someone', 1433, jsonb_build_object('table', '"My App"."Table''s ""rows"""', 'key', '7'))::text), 'nor of its table'
);
update "My App"."Table's ""rows""" set r = r - 50;
select is((select max(used) from private.quota_counters where metric = 'connectors'), 152::bigint, 'whatever happens to its rows');
select set_custom_quota(tests.tenant_id('acme'), 'connectors', 0);
select is(meter.admits(q), true, 'a row that is there is admitted') from "My App"."Table's ""rows""" q;
select is(
  tests.error_of($$ select meter.admits(row(8, tenant_id, sign, amount, row_key, subject, r, s, a, t, "Size %s")::"My App"."Table's ""rows""")
    from "My App"."Table's ""rows""" $$), 'PT429 not_included', 'and another is refused'
);
truncate "My App"."Table's ""rows""";
select is((select max(used) from private.quota_counters where metric = 'connectors'), 0::bigint, 'or all of them');
select is(meter.detach('"My App"."Table''s ""rows"""', 'chat_messages'), true, 'and it is found again');

-- An expression sees a row's columns, by themselves: the table has another name where they are counted.
select is(
  tests.error_of($$ select meter.attach('public.tenants', 'executions', 'char_length(tenants.name)', 'id') $$), '42P01',
  'the table''s own is refused in an expression, at once'
);

select * from finish();
rollback;
