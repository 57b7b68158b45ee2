begin;
select plan(13);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_tenant('acme', 'trial');
select private.audit(tests.tenant_id('acme'), 'x', 'x') from generate_series(1, 4);
select private.seal_audit_events();
create temp table anchor as select head_seq as seq, head_hash as hash from verify_audit_chain(tests.tenant_id('acme'));
create function pg_temp.problems(p_seq bigint, p_hash text) returns jsonb language sql as $$
  select problems from verify_audit_chain(tests.tenant_id('acme'), p_seq, p_hash)
$$;
create function pg_temp.differs(p_seq int) returns jsonb language sql as $$
  select jsonb_build_array(jsonb_build_object('seq', p_seq, 'problem', 'anchor_differs'))
$$;

select is((select pg_temp.problems(seq, hash) from anchor), '[]', 'the end that was kept is the end');
select private.audit(tests.tenant_id('acme'), 'x', 'x') from generate_series(1, 3);
select private.seal_audit_events();
select is((select pg_temp.problems(seq, hash) from anchor), '[]', 'and later the end of the beginning');
select is((select pg_temp.problems(seq, upper(hash)) from anchor), '[]', 'in capitals, too');
select is((select pg_temp.problems(seq + 1, hash) from anchor), pg_temp.differs(6), 'another number differs');
select is((select pg_temp.problems(seq, md5('x')) from anchor), pg_temp.differs(5), 'so does another hash');
select is((select pg_temp.problems(seq, null) from anchor), pg_temp.differs(5), 'and none');
select is((select pg_temp.problems(100, hash) from anchor), pg_temp.differs(100), 'what is not there yet differs');
select is(
  (select is_intact from anchor, verify_audit_chain(tests.tenant_id('acme'), seq + 1, hash)), false, 'then it is not intact'
);

-- A forger who edits an event and makes the whole chain anew.
update public.audit_events set new_values = '{"forged": true}'
where event_id = (select event_id from private.audit_chain where tenant_id = tests.tenant_id('acme') and seq = 2);
delete from private.audit_heads;
with moved as (delete from private.audit_chain c where c.tenant_id = tests.tenant_id('acme') returning c.*)
insert into private.audit_unsealed
select m.event_id, m.occurred_at, m.tenant_id, private.audit_digest(e), m.personal_digest, m.personal_salt
from moved m join public.audit_events e using (event_id);
select private.seal_audit_events();
select is((select problems from verify_audit_chain(tests.tenant_id('acme'))), '[]', 'a chain that was made anew looks whole');
select is((select pg_temp.problems(seq, hash) from anchor), pg_temp.differs(5), 'but not to whoever kept an end of it');
select is(
  (select is_intact from anchor, verify_audit_chain(tests.tenant_id('rival'), seq, hash)), false, 'it is no other tenant''s'
);

select results_eq(
  $$ select anchor from (values (1, 5::bigint, 'x'), (2, null, null)) as a (i, seq, hash),
     lateral verify_audit_chain(tests.tenant_id('acme'), seq, hash) order by i $$,
  $$ values ('differs'), (null) $$, 'the answer says how the anchor compares'
);
update private.audit_heads set pruned_seq = 3 where tenant_id = tests.tenant_id('acme');
select is(
  (select anchor from verify_audit_chain(tests.tenant_id('acme'), 2, 'any')), 'pruned', 'one whose link was dropped, not at all'
);

select * from finish();
rollback;
