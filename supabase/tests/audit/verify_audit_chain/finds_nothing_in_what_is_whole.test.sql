begin;
select plan(14);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select set_config('request.headers', '{"x-real-ip": "203.0.113.7", "user-agent": "curl/8"}', true);
select private.audit(
  t, 'x', 'x', 'thing', '1', '{"a": 1.50}', '{"b": null, "c": "ü"}', p_metadata => '{"n": 1e3}', p_personal => '{"email": "a@example.com"}'
) from unnest(array[tests.tenant_id('acme'), tests.tenant_id('rival'), null]) t, generate_series(1, 5);
create function pg_temp.answer(p_tenant text default 'acme') returns text language sql as $$
  select format('%s %s %s %s %s', is_intact, events, pending, head_seq, problems)
  from verify_audit_chain(tests.tenant_id(p_tenant))
$$;

select is(pg_temp.answer(), 't 0 6 0 []', 'events that wait to be sealed are whole');
select is((select head_hash from verify_audit_chain(tests.tenant_id('acme'))), null, 'without an end of their chain');
select private.seal_audit_events();
select is(pg_temp.answer(), 't 6 0 6 []', 'so are they when they are sealed');
select is(
  (select head_hash from verify_audit_chain(tests.tenant_id('acme'))),
  (select encode(hash, 'hex') from private.audit_chain where tenant_id = tests.tenant_id('acme') and seq = 6),
  'with the hash of the last'
);
select private.audit(tests.tenant_id('acme'), 'x', 'x') from generate_series(1, 2);
select is(pg_temp.answer(), 't 6 2 6 []', 'and when some of them are');
select is(pg_temp.answer('rival'), 't 6 0 6 []', 'those of another tenant do not count');
select is(pg_temp.answer('nobody'), 't 0 0 0 []', 'nor has a tenant without events problems');
select ok(
  (select is_intact and events >= 6 and pending = 0 and problems = '[]' from verify_audit_chain(null)),
  'events of no tenant are whole as well'
);

set local timezone = 'America/New_York';
set local datestyle = 'German, DMY';
set local intervalstyle = 'iso_8601';
set local extra_float_digits = 0;
set local bytea_output = 'escape';
select is(pg_temp.answer(), 't 6 2 6 []', 'the session''s time zone and formats change nothing');
select private.audit(tests.tenant_id('acme'), 'x', 'x', p_new_values => '{"at": "2026-01-01T00:00:00+01:00"}');
set local timezone = 'Asia/Kathmandu';
set local datestyle = 'ISO, YMD';
select is(pg_temp.answer(), 't 6 3 6 []', 'nor does that of the session that wrote');
select private.seal_audit_events();
reset timezone;
select is(pg_temp.answer(), 't 9 0 9 []', 'or sealed');

delete from public.tenants where id = tests.tenant_id('acme');
select is(pg_temp.answer(), 't 9 1 9 []', 'a deleted tenant''s events remain');
select private.seal_audit_events();
select is(pg_temp.answer(), 't 10 0 10 []', 'and are sealed after it');
select is(
  (select is_intact from verify_audit_chain(tests.tenant_id('acme'), null, 'nonsense')), true,
  'an anchor without a number is none'
);

select * from finish();
rollback;
