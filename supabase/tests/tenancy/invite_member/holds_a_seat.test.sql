begin;
select plan(22);

select tests.create_user(name) from unnest(array['olga', 'adam', 'edit', 'bob']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'edit', 'editor');
select set_custom_quota(tests.tenant_id('acme'), 'team_members', 5);
select tests.set_clock('acme');

create function pg_temp.invite(p_email text, p_role text) returns text language sql as $$
  select tests.error_of(format('select invite_member(%L, %L, %L)', tests.tenant_id('acme'), p_email, p_role))
$$;

select tests.act_as_user('edit');
select is(pg_temp.invite('new@example.com', 'viewer'), 'PT403 permission_denied', 'an editor invites nobody');
select tests.act_as_user('bob');
select is(pg_temp.invite('new@example.com', 'viewer'), 'PT403 permission_denied', 'nor does a stranger');
select tests.act_as_user('adam');
select is(pg_temp.invite('new@example.com', 'owner'), 'PT403 role_above_own', 'an admin invites no owner');
select is(pg_temp.invite('no address', 'viewer'), 'PT400 invalid_email', 'an address is needed');
select is(pg_temp.invite(null, 'viewer'), 'PT400 invalid_email', 'any');
select is(pg_temp.invite('new@example.com', null), 'PT400 invalid_role', 'and a role');
select is(pg_temp.invite('OLGA@example.com', 'viewer'), 'PT409 already_member', 'a member is not invited');

create temp table first as select * from invite_member(tests.tenant_id('acme'), ' New@Example.com ', 'viewer');
create temp table again as select * from invite_member(tests.tenant_id('acme'), 'new@example.com', 'editor');
select is(pg_temp.invite('other@example.com', 'viewer'), null, 'a pending invite takes one seat however often it is renewed');
select is(pg_temp.invite('third@example.com', 'viewer'), 'PT403 seat_limit_reached', 'the last seat is taken');
select tests.act_as_owner();
select results_eq(
  $$ select email, role::text, status::text from public.tenant_invites order by created_at, status::text desc, email $$,
  $$ values ('new@example.com', 'viewer', 'revoked'), ('new@example.com', 'editor', 'pending'),
       ('other@example.com', 'viewer', 'pending') $$,
  'a new invite replaces the old one'
);
select isnt((select token from first), (select token from again), 'its token is another');
select matches((select token from again), '^inv_[0-9a-f]{64}$', 'of 244 random bits');
select is(
  (select expires_at from again), private.tenant_now(tests.tenant_id('acme')) + interval '7 days',
  'it is good for seven days of the tenant''s time'
);
select is_empty(
  $$ select from private.invite_tokens t, again a where t.token_hash = convert_to(a.token, 'UTF8') $$, 'no token is stored'
);
select ok(
  exists (select from private.invite_tokens t, again a where t.token_hash = sha256(convert_to(a.token, 'UTF8'))),
  'its hash is'
);
select results_eq(
  $$ select kind, recipient, status::text, payload ->> 'role' from public.alert_notifications
     where payload ->> 'token' = (select token from again) $$,
  $$ values ('invite', 'new@example.com', 'pending', 'editor') $$,
  'a mail waits in the outbox'
);
select is_empty(
  $$ select from public.audit_events where new_values::text like '%inv\_%' or metadata::text like '%inv\_%' $$,
  'no token is in the audit'
);

select tests.set_clock('acme', '7 days');
select tests.act_as_user('adam');
select is(pg_temp.invite('third@example.com', 'viewer'), null, 'expired invites hold no seat');

select tests.act_as_owner();
create temp table third as select id from public.tenant_invites where email = 'third@example.com';
grant select on third to authenticated;
select tests.act_as_user('edit');
select is(
  tests.error_of('select revoke_invite((select id from third))'), 'PT403 permission_denied', 'an editor revokes none'
);
select tests.act_as_user('bob');
select is(
  tests.error_of('select revoke_invite((select id from third))'), 'PT404 invite_not_found', 'for a stranger there is none'
);
select tests.act_as_user('adam');
select is(tests.error_of('select revoke_invite((select id from third))'), null, 'an admin revokes it');
select is(tests.error_of('select revoke_invite((select id from third))'), 'PT409 invite_closed', 'once');

select * from finish();
rollback;
