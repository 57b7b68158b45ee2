-- Members: changing who belongs to a tenant, and inviting others to it.
--
-- Nobody grants a role above their own, or changes a member whose role is above it; platform admins and trusted callers
-- act as owners. A seat is a member or a pending invite; there are as many as the plan's `team_members`. Every function
-- here locks the tenant's row before those of its members and invites, so changes of a team happen one after the other.
-- What deletes memberships by hand, or an account, comes from the other side: of two that then wait for each other
-- Postgres ends one. A sole owner's account cannot be deleted before the tenant is, or has another owner.
--
-- An invite binds to its address: only a user with that e-mail can accept it, within 7 days of the tenant's time, and as
-- long as who invited may still give its role. Its token leaves in the mail and in the answer to whoever invites. The
-- database keeps a hash of it, and the outbox the token itself until the mail is sent or the invite is closed.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.invite_status as enum ('pending', 'accepted', 'rejected', 'revoked');
create type public.member as (
  tenant_id uuid, user_id uuid, email text, role public.member_role, is_suspended boolean, created_at timestamptz
);
create type public.created_invite as (invite_id uuid, token text, expires_at timestamptz);

create table public.tenant_invites (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  email text not null,
  role public.member_role not null,
  status public.invite_status not null default 'pending',
  expires_at timestamptz not null,
  invited_by uuid,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  constraint tenant_invites_email_form check (email = lower(email) and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$' and char_length(email) <= 320),
  constraint tenant_invites_dated_when_closed check ((status = 'pending') = (closed_at is null))
);
comment on table public.tenant_invites is 'Who was asked to join a tenant. A pending invite holds a seat until it expires.';
comment on column public.tenant_invites.invited_by is 'The user or API key that invited.';
comment on column public.tenant_invites.expires_at is 'In the tenant''s time.';
alter table public.tenant_invites enable row level security;
revoke all on public.tenant_invites from anon, authenticated, service_role;
grant select on public.tenant_invites to authenticated, service_role;
create policy members_read_tenant_invites on public.tenant_invites for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('member:read'))));
create unique index tenant_invites_one_pending on public.tenant_invites (tenant_id, email) where status = 'pending';
create index tenant_invites_by_tenant on public.tenant_invites (tenant_id, created_at desc);
create index tenant_invites_by_inviter on public.tenant_invites (invited_by) where status = 'pending';
create trigger audit_change after insert or update or delete on public.tenant_invites
  for each row execute function private.audit_change('tenant_invite', 'id', 'email');

create table private.invite_tokens (
  token_hash bytea primary key,
  invite_id uuid not null unique references public.tenant_invites (id) on delete cascade
);
comment on table private.invite_tokens is 'SHA-256 of the tokens of invites.';
alter table private.invite_tokens enable row level security;


-- What holds for every change ----------------------------------------------------------------------------------------

-- A tenant that has an owner keeps one. Updating its row, rather than locking it, makes a rival under a stricter isolation
-- level fail instead of overlooking what happened meanwhile.
create function private.keep_an_owner() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if old.role = 'owner' and (tg_op = 'DELETE' or new.role <> 'owner') then
    update public.tenants t set updated_at = now() where t.id = old.tenant_id;
    -- Without the tenant, it is being deleted with all its members.
    if found and not exists (
      select from public.memberships m where m.tenant_id = old.tenant_id and m.role = 'owner'
    ) then
      perform private.raise_error(409, 'last_owner', 'A tenant keeps an owner: make another member one first.');
    end if;
  end if;
  return null;
end
$$;
revoke all on function private.keep_an_owner() from public, anon, authenticated, service_role;
create trigger keep_an_owner after update or delete on public.memberships
  for each row execute function private.keep_an_owner();

-- Closes the pending invites of a user or an API key that are for a role above p_own; null: all of them.
create function private.revoke_invites_by(p_inviter uuid, p_tenant_id uuid, p_own public.member_role) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update public.tenant_invites i set status = 'revoked', closed_at = now()
  where i.invited_by = p_inviter and i.status = 'pending'
    and (p_tenant_id is null or i.tenant_id = p_tenant_id)
    and (p_own is null or i.role < p_own);
end
$$;
revoke all on function private.revoke_invites_by(uuid, uuid, public.member_role)
  from public, anon, authenticated, service_role;

-- What a member may not give any more, they have not given.
create function private.revoke_invites_of_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.revoke_invites_by(old.user_id, old.tenant_id, case
    when tg_op = 'UPDATE' and exists (
      select from public.role_permissions p where p.role = new.role and p.permission = 'member:invite'
    ) then new.role
  end);
  return null;
end
$$;
revoke all on function private.revoke_invites_of_member() from public, anon, authenticated, service_role;
create trigger revoke_invites_of_member after update of role or delete on public.memberships
  for each row execute function private.revoke_invites_of_member();

-- The mail of an invite that is closed does not leave any more.
create function private.recall_invite() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update public.alert_notifications n set status = 'dead', last_error = format('The invite was %s.', new.status)
  where n.kind = 'invite' and n.payload ->> 'invite_id' = new.id::text and n.status in ('pending', 'failed');
  return null;
end
$$;
revoke all on function private.recall_invite() from public, anon, authenticated, service_role;
create trigger recall_invite after update of status on public.tenant_invites
  for each row when (new.status <> 'pending') execute function private.recall_invite();

-- Keeps others from changing a tenant's members meanwhile; returns the role up to which the caller gives and takes.
create function private.lock_members(p_tenant_id uuid, p_permission text) returns public.member_role
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.lock_tenant(p_tenant_id, p_permission);
  if private.is_trusted() or private.is_platform_admin() then
    return 'owner'::public.member_role;
  end if;
  return private.role_in(p_tenant_id);
end
$$;
revoke all on function private.lock_members(uuid, text) from public, anon, authenticated, service_role;

create function private.require_role_within(p_own public.member_role, p_role public.member_role) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if p_role is null then
    perform private.raise_error(400, 'invalid_role', 'Name a role: owner, admin, editor or viewer.');
  end if;
  if p_own is null or p_role < p_own then -- roles are declared from the highest down
    perform private.raise_error(403, 'role_above_own', format('As %s you cannot give or take the role %s.', p_own, p_role));
  end if;
end
$$;
revoke all on function private.require_role_within(public.member_role, public.member_role)
  from public, anon, authenticated, service_role;

-- PT404 unless the user is a member.
create function private.membership_of(p_tenant_id uuid, p_user_id uuid) returns public.memberships
language plpgsql stable security definer set search_path = '' as $$
declare
  v_membership public.memberships;
begin
  select * into v_membership from public.memberships m where m.tenant_id = p_tenant_id and m.user_id = p_user_id;
  if not found then
    perform private.raise_error(404, 'member_not_found', 'There is no such member.');
  end if;
  return v_membership;
end
$$;
revoke all on function private.membership_of(uuid, uuid) from public, anon, authenticated, service_role;


-- Members ------------------------------------------------------------------------------------------------------------

create function private.get_members(p_tenant_id uuid) returns setof public.member
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_permission(p_tenant_id, 'member:read');
  return query
    select m.tenant_id, m.user_id, u.email::text, m.role, s.user_id is not null, m.created_at
    from public.memberships m
    join auth.users u on u.id = m.user_id
    left join public.user_suspensions s on s.user_id = m.user_id
    where m.tenant_id = p_tenant_id
    order by m.role, m.created_at, m.user_id;
end
$$;
revoke all on function private.get_members(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_members(uuid) to authenticated, service_role;

create function public.get_members(tenant_id uuid) returns setof public.member
language sql stable security invoker set search_path = '' as $$ select * from private.get_members($1) $$;
comment on function public.get_members(uuid) is 'The members of a tenant with their addresses, owners first. Needs member:read.';
revoke all on function public.get_members(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_members(uuid) to authenticated, service_role;

create function private.update_member_role(p_tenant_id uuid, p_user_id uuid, p_role public.member_role)
returns public.memberships
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_own public.member_role := private.lock_members(p_tenant_id, 'member:invite');
  v_membership public.memberships := private.membership_of(p_tenant_id, p_user_id);
begin
  perform private.require_role_within(v_own, v_membership.role);
  perform private.require_role_within(v_own, p_role);
  update public.memberships m set role = p_role
  where m.tenant_id = p_tenant_id and m.user_id = p_user_id
  returning * into v_membership;
  return v_membership;
end
$$;
revoke all on function private.update_member_role(uuid, uuid, public.member_role)
  from public, anon, authenticated, service_role;
grant execute on function private.update_member_role(uuid, uuid, public.member_role) to authenticated, service_role;

create function public.update_member_role(tenant_id uuid, user_id uuid, role public.member_role)
returns public.memberships
language sql volatile security invoker set search_path = '' as $$ select * from private.update_member_role($1, $2, $3) $$;
comment on function public.update_member_role(uuid, uuid, public.member_role) is
  'Gives a member another role; neither the old nor the new one may be above the caller''s. Needs member:invite. The last owner stays one.';
revoke all on function public.update_member_role(uuid, uuid, public.member_role)
  from public, anon, authenticated, service_role;
grant execute on function public.update_member_role(uuid, uuid, public.member_role) to authenticated, service_role;

-- Needs no permission.
create function private.leave_tenant(p_tenant_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.membership_of(p_tenant_id, auth.uid());
  perform from public.tenants t where t.id = p_tenant_id for no key update;
  delete from public.memberships m where m.tenant_id = p_tenant_id and m.user_id = auth.uid();
end
$$;
revoke all on function private.leave_tenant(uuid) from public, anon, authenticated, service_role;
grant execute on function private.leave_tenant(uuid) to authenticated;

create function public.leave_tenant(tenant_id uuid) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.leave_tenant($1) $$;
comment on function public.leave_tenant(uuid) is 'Ends the signed-in user''s own membership. The last owner stays.';
revoke all on function public.leave_tenant(uuid) from public, anon, authenticated, service_role;
grant execute on function public.leave_tenant(uuid) to authenticated;

create function private.remove_member(p_tenant_id uuid, p_user_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_own public.member_role;
begin
  if p_user_id = auth.uid() then
    perform private.leave_tenant(p_tenant_id);
    return;
  end if;
  v_own := private.lock_members(p_tenant_id, 'member:remove');
  perform private.require_role_within(v_own, (private.membership_of(p_tenant_id, p_user_id)).role);
  delete from public.memberships m where m.tenant_id = p_tenant_id and m.user_id = p_user_id;
end
$$;
revoke all on function private.remove_member(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.remove_member(uuid, uuid) to authenticated, service_role;

create function public.remove_member(tenant_id uuid, user_id uuid) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.remove_member($1, $2) $$;
comment on function public.remove_member(uuid, uuid) is
  'Ends a membership. Needs member:remove and a role not below the member''s; everybody may leave. The last owner stays.';
revoke all on function public.remove_member(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.remove_member(uuid, uuid) to authenticated, service_role;

-- The new owner first, so that there always is one.
create function private.transfer_ownership(p_tenant_id uuid, p_user_id uuid) returns public.memberships
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_own public.member_role := private.lock_members(p_tenant_id, 'member:invite');
  v_membership public.memberships := private.membership_of(p_tenant_id, p_user_id);
begin
  perform private.require_role_within(v_own, 'owner');
  update public.memberships m set role = 'owner'
  where m.tenant_id = p_tenant_id and m.user_id = p_user_id
  returning * into v_membership;
  update public.memberships m set role = 'admin'
  where m.tenant_id = p_tenant_id and m.user_id = auth.uid() and m.user_id <> p_user_id and m.role = 'owner';
  return v_membership;
end
$$;
revoke all on function private.transfer_ownership(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.transfer_ownership(uuid, uuid) to authenticated, service_role;

create function public.transfer_ownership(tenant_id uuid, user_id uuid) returns public.memberships
language sql volatile security invoker set search_path = '' as $$ select * from private.transfer_ownership($1, $2) $$;
comment on function public.transfer_ownership(uuid, uuid) is
  'Makes a member an owner, and the calling owner an admin. Owners only.';
revoke all on function public.transfer_ownership(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.transfer_ownership(uuid, uuid) to authenticated, service_role;


-- Invites ------------------------------------------------------------------------------------------------------------

-- PT403 when members and p_pending invites have taken every seat. The tenant's row is locked.
create function private.require_seat(p_tenant_id uuid, p_pending bigint) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_members bigint := (select count(*) from public.memberships m where m.tenant_id = p_tenant_id);
  v_limit bigint;
begin
  select e.limit_value into v_limit
  from public.entitlements e
  where e.tenant_id = p_tenant_id and e.metric = 'team_members' and e.period = 'none' and e.per = 'tenant'
    and e.enforcement = 'hard';
  if v_members + p_pending >= v_limit then
    perform private.raise_error(
      403, 'seat_limit_reached',
      format('Of %s team members in the plan, %s are taken and %s invited.', v_limit, v_members, p_pending)
    );
  end if;
end
$$;
revoke all on function private.require_seat(uuid, bigint) from public, anon, authenticated, service_role;

-- A new invite of an address replaces the pending one.
create function private.invite_member(p_tenant_id uuid, p_email text, p_role public.member_role)
returns public.created_invite
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_own public.member_role := private.lock_members(p_tenant_id, 'member:invite');
  v_at timestamptz := private.tenant_now(p_tenant_id);
  v_email text := lower(btrim(p_email));
  v_token text := 'inv_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_tenant_name text;
  v_invite public.created_invite;
begin
  perform private.require_role_within(v_own, p_role);
  if v_email is null or char_length(v_email) > 320 or v_email !~ '^[^@\s]+@[^@\s]+\.[^@\s]+$' then
    perform private.raise_error(400, 'invalid_email', 'That is no e-mail address.');
  end if;
  if exists (
    select from public.memberships m join auth.users u on u.id = m.user_id
    where m.tenant_id = p_tenant_id and lower(u.email) = v_email
  ) then
    perform private.raise_error(409, 'already_member', 'Whoever has this address is a member already.');
  end if;

  -- Whoever may make a tenant could send anybody any number of mails.
  if (
    select count(*) >= 200 or count(*) filter (where i.email = v_email) >= 10
    from public.tenant_invites i where i.tenant_id = p_tenant_id and i.created_at > now() - interval '1 day'
  ) then
    perform private.raise_error(
      429, 'too_many_invites', 'A tenant sends at most 200 invites a day, and 10 of them to one address.'
    );
  end if;

  update public.tenant_invites i set status = 'revoked', closed_at = now()
  where i.tenant_id = p_tenant_id and i.email = v_email and i.status = 'pending';
  perform private.require_seat(p_tenant_id, (
    select count(*) from public.tenant_invites i
    where i.tenant_id = p_tenant_id and i.status = 'pending' and i.expires_at > v_at
  ));
  insert into public.tenant_invites (tenant_id, email, role, expires_at, invited_by)
  values (p_tenant_id, v_email, p_role, v_at + interval '7 days', coalesce(auth.uid(), private.api_key_id()))
  returning id, v_token, expires_at into v_invite;
  insert into private.invite_tokens (token_hash, invite_id)
  values (sha256(convert_to(v_token, 'UTF8')), v_invite.invite_id);

  select t.name into v_tenant_name from public.tenants t where t.id = p_tenant_id;
  insert into public.alert_notifications (tenant_id, kind, recipient, payload)
  values (p_tenant_id, 'invite', v_email, jsonb_build_object(
    'invite_id', v_invite.invite_id, 'tenant_name', v_tenant_name, 'role', p_role,
    'token', v_token, 'expires_at', v_invite.expires_at
  ));
  return v_invite;
end
$$;
revoke all on function private.invite_member(uuid, text, public.member_role)
  from public, anon, authenticated, service_role;
grant execute on function private.invite_member(uuid, text, public.member_role) to authenticated, service_role;

create function public.invite_member(tenant_id uuid, email text, role public.member_role) returns public.created_invite
language sql volatile security invoker set search_path = '' as $$ select * from private.invite_member($1, $2, $3) $$;
comment on function public.invite_member(uuid, text, public.member_role) is
  'Invites an address in a role up to the caller''s own, for 7 days, in place of an earlier invite; the token is shown here and in the mail alone. Needs member:invite and a free seat.';
revoke all on function public.invite_member(uuid, text, public.member_role)
  from public, anon, authenticated, service_role;
grant execute on function public.invite_member(uuid, text, public.member_role) to authenticated, service_role;

create function private.revoke_invite(p_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_invite public.tenant_invites;
begin
  select * into v_invite from public.tenant_invites i where i.id = p_id;
  if not found or not private.has_permission(v_invite.tenant_id, 'member:read') then
    perform private.raise_error(404, 'invite_not_found', 'There is no such invite.');
  end if;
  perform private.require_role_within(private.lock_members(v_invite.tenant_id, 'member:invite'), v_invite.role);
  update public.tenant_invites i set status = 'revoked', closed_at = now() where i.id = p_id and i.status = 'pending';
  if not found then
    perform private.raise_error(409, 'invite_closed', 'The invite is not pending any more.');
  end if;
end
$$;
revoke all on function private.revoke_invite(uuid) from public, anon, authenticated, service_role;
grant execute on function private.revoke_invite(uuid) to authenticated, service_role;

create function public.revoke_invite(id uuid) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.revoke_invite($1) $$;
comment on function public.revoke_invite(uuid) is 'Takes a pending invite back. Needs member:invite and a role not below the invite''s.';
revoke all on function public.revoke_invite(uuid) from public, anon, authenticated, service_role;
grant execute on function public.revoke_invite(uuid) to authenticated, service_role;

-- The invite of a token, if the signed-in user may answer it; nobody else can answer it until this transaction ends.
create function private.answerable_invite(p_token text) returns public.tenant_invites
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_user_id uuid := auth.uid();
  v_email text;
  v_invite public.tenant_invites;
begin
  select lower(u.email) into v_email
  from auth.users u
  where u.id = v_user_id and not exists (select from public.user_suspensions s where s.user_id = u.id);
  if not found then
    perform private.raise_error(403, 'permission_denied', 'Sign in with the address that was invited.');
  end if;
  select i.* into v_invite
  from private.invite_tokens k join public.tenant_invites i on i.id = k.invite_id
  where k.token_hash = sha256(convert_to(p_token, 'UTF8'));
  if not found then
    perform private.raise_error(404, 'invite_not_found', 'There is no such invite.');
  end if;
  if v_email is distinct from v_invite.email then
    perform private.raise_error(403, 'invite_for_another', 'The invite is for another address.');
  end if;
  perform from public.tenants t where t.id = v_invite.tenant_id and t.status = 'active' for no key update;
  if not found then
    perform private.raise_error(403, 'permission_denied', 'The tenant is suspended.');
  end if;
  select * into v_invite from public.tenant_invites i where i.id = v_invite.id for update;
  if v_invite.status <> 'pending' then
    perform private.raise_error(409, 'invite_closed', format('The invite was %s.', v_invite.status));
  end if;
  if v_invite.expires_at <= private.tenant_now(v_invite.tenant_id) then
    perform private.raise_error(409, 'invite_expired', 'The invite has expired: ask for a new one.');
  end if;
  return v_invite;
end
$$;
revoke all on function private.answerable_invite(text) from public, anon, authenticated, service_role;

create function private.accept_invite(p_token text) returns public.memberships
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_invite public.tenant_invites := private.answerable_invite(p_token);
  v_membership public.memberships;
begin
  -- Where the plan has fewer seats than when it invited, who comes first has them.
  perform private.require_seat(v_invite.tenant_id, 0);
  update public.tenant_invites i set status = 'accepted', closed_at = now() where i.id = v_invite.id;
  insert into public.memberships (tenant_id, user_id, role)
  values (v_invite.tenant_id, auth.uid(), v_invite.role)
  on conflict do nothing
  returning * into v_membership;
  if not found then
    perform private.raise_error(409, 'already_member', 'You are a member already.');
  end if;
  return v_membership;
end
$$;
revoke all on function private.accept_invite(text) from public, anon, authenticated, service_role;
grant execute on function private.accept_invite(text) to authenticated;

create function public.accept_invite(token text) returns public.memberships
language sql volatile security invoker set search_path = '' as $$ select * from private.accept_invite($1) $$;
comment on function public.accept_invite(text) is
  'Joins the tenant that the signed-in user was invited to, if there is a seat, and returns the membership.';
revoke all on function public.accept_invite(text) from public, anon, authenticated, service_role;
grant execute on function public.accept_invite(text) to authenticated;

create function private.reject_invite(p_token text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_invite public.tenant_invites := private.answerable_invite(p_token);
begin
  update public.tenant_invites i set status = 'rejected', closed_at = now() where i.id = v_invite.id;
end
$$;
revoke all on function private.reject_invite(text) from public, anon, authenticated, service_role;
grant execute on function private.reject_invite(text) to authenticated;

create function public.reject_invite(token text) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.reject_invite($1) $$;
comment on function public.reject_invite(text) is 'Declines an invite of the signed-in user.';
revoke all on function public.reject_invite(text) from public, anon, authenticated, service_role;
grant execute on function public.reject_invite(text) to authenticated;


-- Suspended users ----------------------------------------------------------------------------------------------------

create function private.suspend_user(p_user_id uuid, p_reason text) returns public.user_suspensions
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_suspension public.user_suspensions;
begin
  perform private.require_platform_admin();
  if not exists (select from auth.users u where u.id = p_user_id) then
    perform private.raise_error(404, 'user_not_found', 'There is no such user.');
  end if;
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_reason', 'A reason has 1 to 1,000 characters.');
  end if;
  insert into public.user_suspensions as s (user_id, reason, suspended_by)
  values (p_user_id, btrim(p_reason), auth.uid())
  on conflict (user_id) do update set reason = excluded.reason
  returning * into v_suspension;
  perform private.revoke_invites_by(p_user_id, null, null);
  return v_suspension;
end
$$;
revoke all on function private.suspend_user(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.suspend_user(uuid, text) to authenticated, service_role;

create function public.suspend_user(user_id uuid, reason text) returns public.user_suspensions
language sql volatile security invoker set search_path = '' as $$ select * from private.suspend_user($1, $2) $$;
comment on function public.suspend_user(uuid, text) is
  'Takes every permission from a user and from the API keys they made until reactivate_user, revokes their invites, and records why. Platform admins.';
revoke all on function public.suspend_user(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.suspend_user(uuid, text) to authenticated, service_role;

create function private.reactivate_user(p_user_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.require_platform_admin();
  delete from public.user_suspensions s where s.user_id = p_user_id;
  if not found then
    perform private.raise_error(404, 'user_not_suspended', 'The user is not suspended.');
  end if;
end
$$;
revoke all on function private.reactivate_user(uuid) from public, anon, authenticated, service_role;
grant execute on function private.reactivate_user(uuid) to authenticated, service_role;

create function public.reactivate_user(user_id uuid) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.reactivate_user($1) $$;
comment on function public.reactivate_user(uuid) is 'Ends the suspension of a user. Platform admins.';
revoke all on function public.reactivate_user(uuid) from public, anon, authenticated, service_role;
grant execute on function public.reactivate_user(uuid) to authenticated, service_role;
