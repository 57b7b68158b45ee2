begin;
select plan(13);

select tests.create_user(name) from unnest(array['olga', 'adam', 'ada', 'sue']) name;
select tests.create_tenant('acme', 'enterprise');
select tests.create_tenant('rival', 'enterprise');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'ada', 'owner');
select tests.add_member('acme', 'sue', 'admin');
select tests.add_member('rival', 'sue', 'owner');
create function pg_temp.invite(p_by text, p_email text, p_role text, p_tenant text default 'acme') returns void language plpgsql as $$
begin
  perform tests.act_as_user(p_by);
  perform invite_member(tests.tenant_id(p_tenant), p_email || '@example.com', p_role::public.member_role);
  perform tests.act_as_owner();
end
$$;
create function pg_temp.status(p_email text) returns text language sql as $$
  select status::text from public.tenant_invites where email = p_email || '@example.com'
$$;
create function pg_temp.mail(p_email text) returns text language sql as $$
  select n.status || case when n.payload ? 'token' then ' with' else ' without' end
  from public.alert_notifications n where n.recipient = p_email || '@example.com'
$$;
select pg_temp.invite('adam', 'by-adam', 'viewer');
select pg_temp.invite('ada', 'by-ada-owner', 'owner');
select pg_temp.invite('ada', 'by-ada', 'admin');
select pg_temp.invite('sue', 'by-sue', 'viewer');
select pg_temp.invite('sue', 'by-sue-elsewhere', 'viewer', 'rival');
select pg_temp.invite('olga', 'by-olga', 'viewer');

select tests.act_as_user('olga');
select remove_member(tests.tenant_id('acme'), tests.user_id('adam'));
select tests.act_as_owner();
select is(pg_temp.status('by-adam'), 'revoked', 'an invite is revoked when who sent it is removed');
select is(pg_temp.mail('by-adam'), 'dead without', 'and its mail does not leave');
select is(pg_temp.status('by-olga'), 'pending', 'another member''s is not');
select is(pg_temp.mail('by-olga'), 'pending with', 'nor is its mail');

select update_member_role(tests.tenant_id('acme'), tests.user_id('ada'), 'admin');
select is(pg_temp.status('by-ada-owner'), 'revoked', 'who is no owner any more invites no owner');
select is(pg_temp.status('by-ada'), 'pending', 'but an admin, still');
select update_member_role(tests.tenant_id('acme'), tests.user_id('ada'), 'editor');
select is(pg_temp.status('by-ada'), 'revoked', 'until they invite nobody');

select suspend_user(tests.user_id('sue'), 'fraud');
select is(pg_temp.status('by-sue') || pg_temp.status('by-sue-elsewhere'), 'revokedrevoked', 'a suspended user''s are revoked everywhere');

update public.alert_notifications set status = 'sent', sent_at = now() where recipient = 'by-olga@example.com';
select is(pg_temp.mail('by-olga'), 'sent without', 'when a mail is sent, its token is forgotten');

select tests.act_as_user('olga');
select is(
  tests.error_of(format(
    'select invite_member(%L, %L, %L) from generate_series(1, 10)', tests.tenant_id('acme'), 'often@example.com', 'viewer'
  )), null, 'an address is invited ten times a day'
);
select is(
  tests.error_of(format('select invite_member(%L, %L, %L)', tests.tenant_id('acme'), 'often@example.com', 'viewer')),
  'PT429 too_many_invites', 'not more often'
);
select is(
  tests.error_of(format('select invite_member(%L, %L, %L)', tests.tenant_id('acme'), 'other@example.com', 'viewer')), null,
  'which does not concern others'
);
select tests.act_as_owner();
insert into public.tenant_invites (tenant_id, email, role, expires_at, status, closed_at)
select tests.tenant_id('acme'), i || '@example.com', 'viewer', now(), 'revoked', now() from generate_series(1, 200) i;
select tests.act_as_user('olga');
select is(
  tests.error_of(format('select invite_member(%L, %L, %L)', tests.tenant_id('acme'), 'last@example.com', 'viewer')),
  'PT429 too_many_invites', 'until it is two hundred in all'
);

select * from finish();
rollback;
