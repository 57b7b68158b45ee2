-- Tenancy: tenants, who belongs to them, and the one function that says who may do what.
--
-- A permission is `<thing>:<verb>`; role_permissions says which role has it. A member has those of their role, an API key
-- those of its own, a platform admin all. Nobody has any in a suspended tenant, except platform admins, who may have to
-- look into it; a suspended user has none anywhere. The service role, and database sessions without an API role (pg_cron,
-- psql), may do everything; which of these is calling is read from the session's role, which a token cannot choose, never
-- from a claim.
--
-- A tenant always has an owner once it had one, unless it is deleted.
--
-- A tenant's time is now plus its test clock, which goes ahead up to 400 days and never back.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.tenant_status as enum ('active', 'suspended');
create type public.member_role as enum ('owner', 'admin', 'editor', 'viewer');

create table public.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  slug text not null,
  plan_id text not null default 'free',
  status public.tenant_status not null default 'active',
  is_test boolean not null default false,
  trial_ends_at timestamptz,
  clock_offset interval not null default '0',
  stripe_customer_id text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tenants_name_length check (char_length(name) between 1 and 100),
  constraint tenants_slug_unique unique (slug),
  constraint tenants_slug_form check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  constraint tenants_clock_offset_range check (clock_offset between interval '0' and interval '400 days'),
  constraint tenants_stripe_customer_id_unique unique (stripe_customer_id)
);
comment on table public.tenants is 'Who is metered and billed: a customer''s workspace, organization or account.';
comment on column public.tenants.is_test is 'Whether its admins may set its test clock, and its API keys are sk_test_ keys.';
comment on column public.tenants.clock_offset is 'Test clock: how far this tenant''s time is ahead of the real one.';

create table public.memberships (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role public.member_role not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, user_id)
);
comment on table public.memberships is 'Which users belong to a tenant, and in which role.';

create table public.role_permissions (
  role public.member_role not null,
  permission text not null,
  primary key (role, permission),
  constraint role_permissions_permission_form check (permission ~ '^[a-z]+:[a-z]+$')
);
comment on table public.role_permissions is 'What each role may do.';

create table public.platform_admins (
  user_id uuid primary key references auth.users (id) on delete cascade,
  created_at timestamptz not null default now()
);
comment on table public.platform_admins is 'Users who operate the platform: every permission in every tenant.';

create table public.user_suspensions (
  user_id uuid primary key references auth.users (id) on delete cascade,
  reason text not null,
  suspended_by uuid,
  created_at timestamptz not null default now(),
  constraint user_suspensions_reason_length check (char_length(reason) between 1 and 1000)
);
comment on table public.user_suspensions is 'Users who have no permission anywhere for now, and why.';


-- Who is asking ------------------------------------------------------------------------------------------------------

-- Whether the service role or a database session without an API role is calling. Inside a security definer function
-- current_user is its owner; the `role` setting stays the caller's.
create function private.is_trusted() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return current_setting('role') in ('none', 'postgres', 'service_role');
end
$$;
revoke all on function private.is_trusted() from public, anon, authenticated, service_role;

-- The API key that is calling, or null. An edge function that has checked a key signs a token of a minute for it
-- (`iss: meterbase`, no `sub`); all that the token says is which key, so nothing in it can outlive a change of the key.
create function private.api_key_id() returns uuid
language plpgsql stable set search_path = '' as $$
begin
  if auth.jwt() ->> 'iss' = 'meterbase' and auth.uid() is null then
    return (auth.jwt() ->> 'api_key')::uuid;
  end if;
  return null;
end
$$;
revoke all on function private.api_key_id() from public, anon, authenticated, service_role;

-- Whether the signed-in user operates the platform.
create function private.is_platform_admin() returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  v_user_id uuid := auth.uid();
begin
  return exists (select from public.platform_admins a where a.user_id = v_user_id)
    and not exists (select from public.user_suspensions s where s.user_id = v_user_id);
end
$$;
revoke all on function private.is_platform_admin() from public, anon, authenticated, service_role;
grant execute on function private.is_platform_admin() to authenticated;

-- The caller's role in a tenant as its member or as one of its API keys; null where it is neither, or suspended.
create function private.role_in(p_tenant_id uuid) returns public.member_role
language plpgsql stable security definer set search_path = '' as $$
declare
  v_user_id uuid := auth.uid();
  v_role public.member_role;
begin
  if v_user_id is null then
    select k.role into v_role from private.usable_api_key(private.api_key_id()) k where k.tenant_id = p_tenant_id;
  else
    select m.role into v_role
    from public.memberships m
    join public.tenants t on t.id = m.tenant_id
    where m.tenant_id = p_tenant_id and m.user_id = v_user_id and t.status = 'active'
      and not exists (select from public.user_suspensions s where s.user_id = v_user_id);
  end if;
  return v_role;
end
$$;
revoke all on function private.role_in(uuid) from public, anon, authenticated, service_role;

-- Whether the caller has a permission in a tenant.
create function private.has_permission(p_tenant_id uuid, p_permission text) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return private.is_trusted()
    or exists (
      select from public.role_permissions p
      where p.role = private.role_in(p_tenant_id) and p.permission = p_permission
    )
    or private.is_platform_admin();
end
$$;
revoke all on function private.has_permission(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.has_permission(uuid, text) to authenticated;

-- Ends the call with PT403 unless the caller has the permission.
create function private.require_permission(p_tenant_id uuid, p_permission text) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.has_permission(p_tenant_id, p_permission) then
    perform private.raise_error(403, 'permission_denied', format('You need the permission %s in this tenant.', p_permission));
  end if;
end
$$;
revoke all on function private.require_permission(uuid, text) from public, anon, authenticated, service_role;

-- Locks a tenant's row for a change that needs the permission, and returns it. Asked before, so that nobody else makes
-- others wait, and again afterwards: whoever held the lock may have taken the permission away.
create function private.lock_tenant(p_tenant_id uuid, p_permission text) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
begin
  perform private.require_permission(p_tenant_id, p_permission);
  select * into v_tenant from public.tenants t where t.id = p_tenant_id for no key update;
  if not found then
    perform private.raise_error(404, 'tenant_not_found', 'There is no such tenant.');
  end if;
  perform private.require_permission(p_tenant_id, p_permission);
  return v_tenant;
end
$$;
revoke all on function private.lock_tenant(uuid, text) from public, anon, authenticated, service_role;

-- Ends the call with PT403 unless a platform admin or the service role is calling.
create function private.require_platform_admin() returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not (private.is_trusted() or private.is_platform_admin()) then
    perform private.raise_error(403, 'platform_admin_only', 'Only a platform admin may do this.');
  end if;
end
$$;
revoke all on function private.require_platform_admin() from public, anon, authenticated, service_role;

-- The tenants in which the caller has a permission; for a platform admin, all. Policies compute it once per query and
-- compare with it alone: `is_platform_admin() or …` beside it would keep them from using an index.
create function private.tenant_ids_with(p_permission text) returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    return query
      select k.tenant_id
      from private.usable_api_key(private.api_key_id()) k
      join public.role_permissions p on p.role = k.role
      where p.permission = p_permission;
  elsif private.is_platform_admin() then
    return query select t.id from public.tenants t;
  else
    return query
      select m.tenant_id
      from public.memberships m
      join public.tenants t on t.id = m.tenant_id
      join public.role_permissions p on p.role = m.role
      where m.user_id = v_user_id and t.status = 'active' and p.permission = p_permission
        and not exists (select from public.user_suspensions s where s.user_id = v_user_id);
  end if;
end
$$;
revoke all on function private.tenant_ids_with(text) from public, anon, authenticated, service_role;
grant execute on function private.tenant_ids_with(text) to authenticated;

-- Who a quota or a usage event is counted for: a user or an API key is always itself; only trusted callers name others.
create function private.resolve_subject(p_subject text) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if private.is_trusted() then
    if char_length(p_subject) > 255 then
      perform private.raise_error(400, 'invalid_subject', 'A subject has at most 255 characters.');
    end if;
    return coalesce(p_subject, '');
  end if;
  return coalesce(auth.uid()::text, private.api_key_id()::text, '');
end
$$;
revoke all on function private.resolve_subject(text) from public, anon, authenticated, service_role;

-- The time in a tenant: now, plus its test clock's offset. PT404 for an unknown tenant.
create function private.tenant_now(p_tenant_id uuid) returns timestamptz
language plpgsql stable security definer set search_path = '' as $$
declare
  v_now timestamptz;
begin
  select now() + clock_offset into v_now from public.tenants where id = p_tenant_id;
  if not found then
    perform private.raise_error(404, 'tenant_not_found', 'There is no such tenant.');
  end if;
  return v_now;
end
$$;
revoke all on function private.tenant_now(uuid) from public, anon, authenticated, service_role;


-- Access to the tables -----------------------------------------------------------------------------------------------

create function private.keep_clock_from_going_back() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.clock_offset < old.clock_offset then
    perform private.raise_error(400, 'invalid_clock_offset', 'A test clock never goes back.');
  end if;
  return new;
end
$$;
revoke all on function private.keep_clock_from_going_back() from public, anon, authenticated, service_role;

alter table public.tenants enable row level security;
revoke all on public.tenants from anon, authenticated, service_role;
grant select, update (name) on public.tenants to authenticated;
grant select, insert, update, delete on public.tenants to service_role;
create policy members_read_tenant on public.tenants for select to authenticated
  using (id = any (array(select private.tenant_ids_with('tenant:read'))));
create policy admins_rename_tenant on public.tenants for update to authenticated
  using (id = any (array(select private.tenant_ids_with('tenant:write'))));
create index tenants_on_trial on public.tenants (trial_ends_at) where trial_ends_at is not null;
create trigger keep_clock_from_going_back before update of clock_offset on public.tenants
  for each row execute function private.keep_clock_from_going_back();
create trigger set_updated_at before update on public.tenants
  for each row execute function private.set_updated_at();
create trigger audit_change after insert or update or delete on public.tenants
  for each row execute function private.audit_change('tenant', 'id');

alter table public.memberships enable row level security;
revoke all on public.memberships from anon, authenticated, service_role;
grant select on public.memberships to authenticated;
grant select, insert, update, delete on public.memberships to service_role;
create policy members_read_memberships on public.memberships for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('member:read'))));
create index memberships_by_user on public.memberships (user_id);
create trigger audit_change after insert or update or delete on public.memberships
  for each row execute function private.audit_change('membership', 'user_id');

alter table public.role_permissions enable row level security;
revoke all on public.role_permissions from anon, authenticated, service_role;
grant select on public.role_permissions to authenticated, service_role;
create policy users_read_role_permissions on public.role_permissions for select to authenticated using (true);
create trigger audit_change after insert or update or delete on public.role_permissions
  for each row execute function private.audit_change('role_permission', 'role');

alter table public.platform_admins enable row level security;
revoke all on public.platform_admins from anon, authenticated, service_role;
grant select on public.platform_admins to authenticated;
grant select, insert, delete on public.platform_admins to service_role;
create policy admins_read_platform_admins on public.platform_admins for select to authenticated
  using ((select private.is_platform_admin()));
create trigger audit_change after insert or update or delete on public.platform_admins
  for each row execute function private.audit_change('platform_admin', 'user_id');

alter table public.user_suspensions enable row level security;
revoke all on public.user_suspensions from anon, authenticated, service_role;
grant select on public.user_suspensions to authenticated, service_role;
create policy admins_read_user_suspensions on public.user_suspensions for select to authenticated
  using ((select private.is_platform_admin()));
create trigger audit_change after insert or update or delete on public.user_suspensions
  for each row execute function private.audit_change('user_suspension', 'user_id');

-- audit_events came before the functions that its policy needs.
create policy members_read_audit_events on public.audit_events for select to authenticated
  using (
    tenant_id = any (array(select private.tenant_ids_with('audit:read')))
    or (tenant_id is null and (select private.is_platform_admin()))
  );


insert into public.role_permissions (role, permission)
select role, unnest(permissions)
from (values
  ('viewer'::public.member_role, array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read'
  ]),
  ('editor', array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read',
    'workflow:create', 'workflow:update', 'workflow:delete', 'workflow:execute', 'usage:write', 'execution:write'
  ]),
  ('admin', array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read',
    'workflow:create', 'workflow:update', 'workflow:delete', 'workflow:execute', 'usage:write', 'execution:write',
    'tenant:write', 'member:invite', 'member:remove', 'apikey:create', 'apikey:delete', 'alerts:write', 'audit:read'
  ]),
  ('owner', array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read',
    'workflow:create', 'workflow:update', 'workflow:delete', 'workflow:execute', 'usage:write', 'execution:write',
    'tenant:write', 'member:invite', 'member:remove', 'apikey:create', 'apikey:delete', 'alerts:write', 'audit:read',
    'billing:read', 'billing:write'
  ])
) as roles (role, permissions);


-- Making a tenant ----------------------------------------------------------------------------------------------------

-- The caller becomes its owner; the service role makes it without one.
create function private.create_tenant(p_name text, p_plan_id text, p_is_test boolean) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_name text := btrim(p_name);
  v_user_id uuid := auth.uid();
  v_is_operator boolean := private.is_trusted() or private.is_platform_admin();
  v_slug text;
  v_plan record;
  v_tenant public.tenants;
begin
  if not v_is_operator and (
    v_user_id is null or exists (select from public.user_suspensions s where s.user_id = v_user_id)
  ) then
    perform private.raise_error(403, 'permission_denied', 'Sign in as a user who is not suspended to create a tenant.');
  end if;
  if v_name is null or char_length(v_name) not between 1 and 100 then
    perform private.raise_error(400, 'invalid_name', 'A tenant''s name has 1 to 100 characters.');
  end if;
  select * into v_plan from public.billing_plans where id = p_plan_id;
  if not found then
    perform private.raise_error(404, 'plan_not_found', format('There is no plan "%s".', p_plan_id));
  end if;
  if not (v_plan.is_self_serve or v_is_operator) then
    perform private.raise_error(403, 'plan_not_self_serve', format('The plan "%s" is not one to start with.', p_plan_id));
  end if;
  if p_is_test and not v_is_operator then
    perform private.raise_error(403, 'platform_admin_only', 'Only a platform admin may make a test tenant.');
  end if;

  v_slug := coalesce(nullif(btrim(left(regexp_replace(lower(v_name), '[^a-z0-9]+', '-', 'g'), 40), '-'), ''), 'tenant');
  loop
    insert into public.tenants (name, slug, plan_id, is_test, trial_ends_at)
    values (v_name, v_slug, v_plan.id, coalesce(p_is_test, false), now() + make_interval(days => v_plan.trial_days))
    on conflict (slug) do nothing
    returning * into v_tenant;
    exit when found;
    v_slug := rtrim(regexp_replace(left(v_slug, 40), '-[0-9a-f]{6}$', ''), '-') || '-' || left(md5(gen_random_uuid()::text), 6);
  end loop;

  if v_user_id is not null then
    insert into public.memberships (tenant_id, user_id, role) values (v_tenant.id, v_user_id, 'owner');
  end if;
  if v_tenant.trial_ends_at is not null then
    perform private.audit(
      v_tenant.id, 'trial_created', 'created', 'tenant', v_tenant.id::text, null,
      jsonb_build_object('plan_id', v_tenant.plan_id, 'trial_ends_at', v_tenant.trial_ends_at)
    );
  end if;
  return v_tenant;
end
$$;
revoke all on function private.create_tenant(text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function private.create_tenant(text, text, boolean) to authenticated, service_role;

create function public.create_tenant(name text, plan_id text default 'free', is_test boolean default false)
returns public.tenants
language sql volatile security invoker set search_path = '' as $$ select * from private.create_tenant($1, $2, $3) $$;
comment on function public.create_tenant(text, text, boolean) is
  'Makes a tenant on a self-serve plan (free, trial) with the caller as its owner, and returns its row. Platform admins choose any plan, and may make a test tenant.';
revoke all on function public.create_tenant(text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.create_tenant(text, text, boolean) to authenticated, service_role;


-- The test clock -----------------------------------------------------------------------------------------------------

-- Sets a tenant's clock ahead of the real time by p_offset in all.
create function private.set_test_clock(p_tenant_id uuid, p_offset interval) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants := private.lock_tenant(p_tenant_id, 'tenant:write');
  v_offset interval;
begin
  if not (v_tenant.is_test or private.is_trusted() or private.is_platform_admin()) then
    perform private.raise_error(403, 'platform_admin_only', 'Only a platform admin may set the clock of a tenant that is no test tenant.');
  end if;
  -- In hours: a month is a month of now, and neither it nor a day may be another with the session's time zone or next month,
  -- or the clock went back. An offset that is out of range already may be out of that of times as well.
  if p_offset between interval '0' and interval '400 days' then
    v_offset := make_interval(
      secs => extract(epoch from (now() at time zone 'UTC') + p_offset - (now() at time zone 'UTC'))::double precision
    );
  end if;
  if v_offset is null or v_offset < v_tenant.clock_offset or v_offset > interval '400 days' then
    perform private.raise_error(
      400, 'invalid_clock_offset', format('A test clock goes ahead, from %s to at most 400 days.', v_tenant.clock_offset)
    );
  end if;
  update public.tenants t set clock_offset = v_offset where t.id = p_tenant_id returning * into v_tenant;
  return v_tenant;
end
$$;
revoke all on function private.set_test_clock(uuid, interval) from public, anon, authenticated, service_role;
grant execute on function private.set_test_clock(uuid, interval) to authenticated, service_role;

create function public.set_test_clock(tenant_id uuid, clock_offset interval) returns public.tenants
language sql volatile security invoker set search_path = '' as $$ select * from private.set_test_clock($1, $2) $$;
comment on function public.set_test_clock(uuid, interval) is
  'Sets a tenant''s time ahead of the real one by so much, up to 400 days and never back. Platform admins; in a test tenant whoever has tenant:write.';
revoke all on function public.set_test_clock(uuid, interval) from public, anon, authenticated, service_role;
grant execute on function public.set_test_clock(uuid, interval) to authenticated, service_role;
