begin;
select plan(7);

select tests.create_user('olga');
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.act_as_user('olga');
create temp table made as select * from invite_member(tests.tenant_id('acme'), 'Zoe.Guest@example.com', 'viewer');
select invite_member(tests.tenant_id('acme'), 'zoe.guest@example.com', 'editor'); -- revokes the one before
select revoke_invite(i.id) from public.tenant_invites i where i.status = 'pending';
select tests.act_as_owner();
delete from public.tenant_invites;

select results_eq(
  $$ select event_type, count(*) from public.audit_events where entity_type = 'tenant_invite' group by 1 order by 1 $$,
  $$ values ('tenant_invite_created', 2::bigint), ('tenant_invite_deleted', 2), ('tenant_invite_updated', 2) $$,
  'an invite''s life is recorded'
);
select is_empty(
  $$ select event_type from public.audit_events where entity_type = 'tenant_invite'
     and personal is distinct from '{"email": "zoe.guest@example.com"}' $$,
  'each time with the address as personal data'
);
select is_empty(
  $$ select event_type from public.audit_events e where (to_jsonb(e) - 'personal')::text ilike '%zoe.guest%' $$,
  'and nowhere else, in no event'
);
select is_empty(
  $$ select from public.audit_events where entity_type = 'tenant_invite' and (old_values ? 'email' or new_values ? 'email') $$,
  'old and new values lack the column'
);
select is(
  (select old_values ->> 'status' || ' ' || (new_values ->> 'status') from public.audit_events
   where event_type = 'tenant_invite_updated' limit 1), 'pending revoked', 'but no other'
);
select is(
  (select count(*) from public.audit_events where event_type = 'membership_created' and personal is null), 1::bigint,
  'where there is no such column, there is no personal data'
);
select is(
  (select erase_audit_personal_data(email => 'zoe.guest@example.com')), 6::bigint, 'so it can be erased'
);

select * from finish();
rollback;
