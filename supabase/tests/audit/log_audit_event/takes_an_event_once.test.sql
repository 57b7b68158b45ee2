begin;
select plan(10);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
create function pg_temp.log(p_type text, p_tenant text default 'acme') returns uuid language sql as $$
  select log_audit_event(tests.tenant_id(p_tenant), p_type, event_id => tests.user_id('event'))
$$;
create temp view stored as select event_type, tenant_id from public.audit_events where event_id = tests.user_id('event');

select is(pg_temp.log('first'), tests.user_id('event'), 'an event is told');
select is(pg_temp.log('again'), tests.user_id('event'), 'and told again');
select results_eq('select event_type from stored', $$ values ('first') $$, 'the first stands');
select is((select count(*) from private.audit_unsealed where event_id = tests.user_id('event')), 1::bigint, 'once in line');
select private.seal_audit_events();
select is(pg_temp.log('later'), tests.user_id('event'), 'told again when it is sealed');
select results_eq('select event_type from stored', $$ values ('first') $$, 'the first still stands');
select is_empty($$ select from private.audit_unsealed where event_id = tests.user_id('event') $$, 'nor is it in line again');
select private.seal_audit_events();
select is((select count(*) from private.audit_chain where event_id = tests.user_id('event')), 1::bigint, 'it is sealed once');
select is((select problems from verify_audit_chain(tests.tenant_id('acme'))), '[]', 'and the chain is whole');
select is(
  tests.error_of($$ select pg_temp.log('taken', 'rival') $$), 'PT409 idempotency_key_reused',
  'an id is not another tenant''s as well, or its event would be lost'
);

select * from finish();
rollback;
