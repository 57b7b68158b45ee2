begin;
select plan(3);

select private.seal_audit_events();
select isnt_empty(
  $$ select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted
       and objid::bigint = (hashtext('meterbase.seal_audit_events')::bigint & 4294967295) $$,
  'a pass keeps others out until its transaction ends'
);
select is(
  tests.error_of('select private.seal_audit_events()'), null, 'but not itself'
);
select tests.act_as_service_role();
select is(tests.error_of('select private.seal_audit_events()'), '42501', 'no API role starts one');

select * from finish();
rollback;
