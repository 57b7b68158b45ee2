begin;
select plan(18);

select tests.create_user(name) from unnest(array['olga', 'adam', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create temp table made as
select log_audit_event(tests.tenant_id('acme'), 'payment_failed', severity => 'error') as id, log_audit_event(null, 'crashed') as own;
create temp table key as select id from create_api_key(tests.tenant_id('acme'), 'CI', 'admin');
grant select on made, key to authenticated, service_role;
create temp table before as select e.* from public.audit_events e;

select tests.act_as_user('olga');
select results_eq(
  'select (r).tenant_id, (r).occurred_at, (r).note, (r).resolved_by, (r).resolved_at from made, resolve_audit_event(made.id, ''Card renewed'') r',
  $$ values (tests.tenant_id('acme'), now(), 'Card renewed', tests.user_id('olga')::text, now()) $$,
  'an event is dealt with, by whom and how'
);
select tests.act_as_user('adam');
select is((select note from made, resolve_audit_event(made.id, 'Mine')), 'Card renewed', 'the first to do so stands');
select is((select resolved_by from made, resolve_audit_event(made.id)), tests.user_id('olga')::text, 'with who it was');
select results_eq(
  'select event_id, note from public.audit_resolutions', $$ select id, 'Card renewed' from made $$, 'members who read the event read it'
);
select tests.act_as_owner();
select set_eq('select e.* from public.audit_events e where event_type <> ''audit_event_resolved''', 'select * from before', 'the event never changes');
select results_eq(
  $$ select tenant_id, action, entity_type, entity_id, actor_type::text, actor_id, source::text, new_values from public.audit_events
     where event_type = 'audit_event_resolved' $$,
  $$ select tests.tenant_id('acme'), 'resolved', 'audit_event', id::text, 'tenant', tests.user_id('olga')::text, 'database',
       '{"event_type": "payment_failed", "note": "Card renewed"}'::jsonb from made $$,
  'that it was dealt with is an event, once'
);
select is((select problems from verify_audit_chain(tests.tenant_id('acme'))), '[]', 'the chain is whole');

-- Deny.
select tests.act_as_user('olga');
select is(tests.error_of('select resolve_audit_event(gen_random_uuid())'), 'PT404 audit_event_not_found', 'there has to be an event');
select is(tests.error_of('select resolve_audit_event(null)'), 'PT404 audit_event_not_found', 'that is named');
select is(
  tests.error_of(format('select resolve_audit_event(%L)', (select own from made))), 'PT404 audit_event_not_found',
  'one of no tenant is not the owner''s to see'
);
select is(
  tests.error_of(format('select resolve_audit_event(%L, %L)', (select id from made), repeat('x', 2001))), 'PT400 invalid_note', 'a note is not too long'
);
select tests.act_as_api_key((select id from key));
select is((select note from made, resolve_audit_event(made.id)), 'Card renewed', 'an admin''s API key deals with events');
select tests.act_as_user('root');
select is(
  (select resolved_by from made, resolve_audit_event(made.own, repeat('ü', 2000))), tests.user_id('root')::text,
  'a platform admin deals with one of no tenant'
);
select tests.act_as_owner();
select is(
  (select count(*) from public.audit_resolutions where tenant_id is null), 1::bigint, 'which stays without a tenant'
);
select tests.act_as_service_role();
select is((select char_length(note) from made, resolve_audit_event(made.own)), 2000, 'the service role does, too');
select tests.act_as_user('adam');
select is((select count(*) from public.audit_resolutions), 1::bigint, 'members do not read that');
select tests.act_as_user('root');
select is((select count(*) from public.audit_resolutions), 2::bigint, 'platform admins do');
select is(tests.error_of('delete from public.audit_resolutions'), '42501', 'nobody takes it back');

select * from finish();
rollback;
