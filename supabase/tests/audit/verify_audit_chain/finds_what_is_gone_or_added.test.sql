begin;
select plan(27);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select private.audit(t, 'x', 'x') from unnest(array[tests.tenant_id('acme'), tests.tenant_id('rival')]) t, generate_series(1, 4);
select private.seal_audit_events();
-- The problems that are told after a superuser's statement, which is then undone, as `seq problem`.
create function pg_temp.after(p_statements text, p_tenant uuid default tests.tenant_id('acme')) returns text language plpgsql as $$
declare
  v_text text;
begin
  begin
    execute p_statements;
    select coalesce(string_agg(concat_ws(' ', p ->> 'seq', p ->> 'problem'), ', '), '') into v_text
    from verify_audit_chain(p_tenant) v, jsonb_array_elements(v.problems) p;
    raise exception using errcode = 'ZZ999';
  exception when sqlstate 'ZZ999' then
    return v_text;
  end;
end
$$;
create temp view acme as select * from private.audit_chain where tenant_id = tests.tenant_id('acme');
create function pg_temp.event(p_seq int) returns uuid language sql as $$ select event_id from acme where seq = p_seq $$;

select is(pg_temp.after('select'), '', 'of five events that are whole');
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(3)'), '3 event_deleted',
  'one deleted in the middle is told with its place'
);
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(3);
    delete from acme where seq = 3'), '4 links_missing_before', 'so is one without its link'
);
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(1); delete from acme where seq = 1'),
  '2 links_missing_before', 'be it the first'
);
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(3); delete from acme where seq = 3;
    update acme set seq = seq - 1 where seq > 3; update private.audit_heads set seq = 4 where tenant_id = tests.tenant_id(''acme'')'),
  '3 link_broken', 'and numbering the others anew breaks a link'
);
select is(
  pg_temp.after('delete from public.audit_events e using acme c where c.event_id = e.event_id and c.seq > 3; delete from acme where seq > 3'),
  '4 tail_cut', 'a tail that was cut is missed'
);
select is(
  pg_temp.after('delete from public.audit_events where tenant_id = tests.tenant_id(''acme''); delete from acme'),
  '1 tail_cut', 'a chain that was deleted whole as well'
);
select is(
  pg_temp.after('delete from public.audit_events where tenant_id = tests.tenant_id(''acme''); delete from acme;
    update private.audit_heads set pruned_seq = seq, pruned_hash = hash where tenant_id = tests.tenant_id(''acme'')'),
  '6 tail_cut', 'be it as if it was pruned'
);
select is(pg_temp.after('delete from private.audit_heads where tenant_id = tests.tenant_id(''acme'')'), '6 tail_cut', 'so is its head');
select is(
  pg_temp.after('update private.audit_heads set seq = 6 where tenant_id = tests.tenant_id(''acme'')'), '6 tail_cut',
  'a head further on'
);
select is(
  pg_temp.after('update private.audit_heads set hash = sha256(''x'') where tenant_id = tests.tenant_id(''acme'')'), '5 head_differs',
  'or with another hash'
);
select is(
  pg_temp.after('update private.audit_heads h set pruned_seq = 2, pruned_hash = c.hash from acme c where c.tenant_id = h.tenant_id and c.seq = 2;
    delete from public.audit_events e using acme c where c.event_id = e.event_id and c.seq <= 2; delete from acme where seq <= 2'),
  '3 retention_differs', 'or that lets the chain begin later though no month was dropped'
);
select is(pg_temp.after('update acme set hash = sha256(''x'') where seq = 3'), '3 link_broken, 4 link_broken', 'a hash that was changed');
select is(pg_temp.after('update acme set digest = sha256(''x'') where seq = 3'), '3 link_broken, 3 event_edited', 'or a digest');
select is(
  pg_temp.after('update acme set personal_digest = sha256(''x'') where seq = 3'), '3 link_broken, 3 personal_data_edited',
  'be it that of the personal data'
);
select is(
  pg_temp.after('update public.audit_events set severity = ''error'' where event_id = pg_temp.event(3);
    update acme c set digest = private.audit_digest(e) from public.audit_events e where c.event_id = e.event_id and c.seq = 3'),
  '3 link_broken', 'also to hide an edit'
);
select is(
  pg_temp.after('insert into public.audit_events (tenant_id, event_type, action, actor_type) values (tests.tenant_id(''acme''), ''x'', ''x'', ''system'')'),
  'event_not_in_chain', 'an event that was written past the chain'
);
select is(
  pg_temp.after('insert into public.audit_events (event_type, action, actor_type) values (''x'', ''x'', ''system'')', null),
  'event_not_in_chain', 'also one of no tenant'
);
select is(
  pg_temp.after('update public.audit_events set tenant_id = tests.tenant_id(''rival'') where event_id = pg_temp.event(3);
    update acme set tenant_id = tests.tenant_id(''rival''), seq = 6 where seq = 3', tests.tenant_id('rival')),
  '6 link_broken, 6 event_edited, 7 tail_cut', 'one that was moved here from another tenant'
);
select private.audit(tests.tenant_id('acme'), 'x', 'x');
select is(
  pg_temp.after('delete from public.audit_events where event_id in (select event_id from private.audit_unsealed where tenant_id = tests.tenant_id(''acme''))'),
  'event_deleted', 'one that waits and is gone'
);
select is(pg_temp.after('delete from private.audit_unsealed'), 'event_not_in_chain', 'or is not waiting any more');

-- Once months were dropped, a link may be without its event, but only one of such a month.
update private.audit_retention set events_since = '2020-02-01';
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(3); update acme set occurred_at = ''2020-01-31'' where seq = 3'),
  '3 link_broken', 'a link does not get older'
);
select is(
  pg_temp.after('delete from public.audit_events where event_id = pg_temp.event(3); update private.audit_retention set events_since = now() + interval ''1 second'''),
  '1 retention_differs', 'nor does dropping get later than the months that there are'
);
select is(
  pg_temp.after('delete from private.audit_retention; delete from public.audit_events where event_id = pg_temp.event(3)'),
  '3 event_deleted', 'without a note of what was dropped, nothing was'
);
select is(pg_temp.after('update private.audit_retention set events_since = ''-infinity'''), '', 'all months may be there');
select is(
  (select jsonb_array_length(problems) from verify_audit_chain(tests.tenant_id('rival'))), 0, 'another tenant''s chain is not concerned'
);

select tests.act_as_owner();
select tests.create_tenant('erased');
delete from public.audit_events where tenant_id = tests.tenant_id('erased');
delete from private.audit_unsealed where tenant_id = tests.tenant_id('erased');
select is(
  (select problems -> 0 ->> 'problem' from verify_audit_chain(tests.tenant_id('erased'))), 'chain_missing',
  'a tenant of which there is nothing, since it was created'
);

select * from finish();
rollback;
