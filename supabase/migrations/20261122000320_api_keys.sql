-- API keys: what a program shows instead of a user's session.
--
-- A secret is `sk_live_` (`sk_test_` of a test tenant), 30 random base62 characters (178 bits), and the CRC-32 of all
-- that in 6 base62 characters, by which scanners and the edge functions know a malformed key without asking. It is shown
-- once; the database keeps its SHA-256. An edge function hashes what it was sent, asks authenticate_api_key which key that
-- is, and signs a token of a minute that names the key. Its tenant, role, expiry and revocation are read from its row at
-- each use.
--
-- A key belongs to its tenant and outlives the membership of who made it; while that user is suspended it does not work.
-- What a key makes does not outlive it: a key that it made ends when it does, and is revoked with it.
--
-- Uses are counted in rows that no two sessions share, and added to the key each minute, so a busy key does not serialize
-- its requests.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.created_api_key as (id uuid, secret text);
create type public.authenticated_api_key as (api_key_id uuid, tenant_id uuid, role public.member_role);

create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  name text not null,
  prefix text not null,
  role public.member_role not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  request_count bigint not null default 0,
  created_by uuid,
  parent_id uuid references public.api_keys (id) on delete cascade,
  created_at timestamptz not null default now(),
  constraint api_keys_name_length check (char_length(name) between 1 and 100)
);
comment on table public.api_keys is 'What programs of a tenant may do, each in a role.';
comment on column public.api_keys.prefix is 'The beginning of the secret, to recognize it by.';
comment on column public.api_keys.expires_at is 'In the tenant''s time.';
comment on column public.api_keys.request_count is 'Up to a minute old, as is last_used_at.';
comment on column public.api_keys.created_by is 'The user who made it, or the key that it was made with.';
comment on column public.api_keys.parent_id is 'The key that made it.';
alter table public.api_keys enable row level security;
revoke all on public.api_keys from anon, authenticated, service_role;
grant select on public.api_keys to authenticated, service_role;
create policy members_read_api_keys on public.api_keys for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('apikey:read'))));
create index api_keys_by_tenant on public.api_keys (tenant_id, created_at);
create index api_keys_by_parent on public.api_keys (parent_id);
create trigger audit_change after insert or delete or update of name, role, expires_at, revoked_at on public.api_keys
  for each row execute function private.audit_change('api_key', 'id');

create table private.api_key_hashes (
  secret_hash bytea primary key,
  api_key_id uuid not null unique references public.api_keys (id) on delete cascade
);
comment on table private.api_key_hashes is 'SHA-256 of the secrets of API keys.';
alter table private.api_key_hashes enable row level security;

create table private.api_key_uses (
  api_key_id uuid not null references public.api_keys (id) on delete cascade,
  source int not null,
  uses bigint not null,
  last_used_at timestamptz not null,
  primary key (api_key_id, source)
) with (fillfactor = 50);
comment on table private.api_key_uses is 'Uses that are not in api_keys.request_count yet.';
comment on column private.api_key_uses.source is 'The process id of the session that counts there, so that no other does.';
alter table private.api_key_uses enable row level security;


-- The secret ---------------------------------------------------------------------------------------------------------

create function private.base62(p_value bigint, p_length int) returns text
language plpgsql immutable strict set search_path = '' as $$
declare
  v_rest bigint := p_value;
  v_text text := '';
begin
  for v_i in 1..p_length loop
    v_text := substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', (v_rest % 62)::int + 1, 1) || v_text;
    v_rest := v_rest / 62;
  end loop;
  return v_text;
end
$$;
revoke all on function private.base62(bigint, int) from public, anon, authenticated, service_role;

-- CRC-32 as zip and PNG have it (IEEE 802.3, reflected).
create function private.crc32(p_bytes bytea) returns bigint
language plpgsql immutable strict set search_path = '' as $$
declare
  v_crc bigint := 4294967295;
begin
  for v_i in 0..length(p_bytes) - 1 loop
    v_crc := v_crc # get_byte(p_bytes, v_i);
    for v_bit in 1..8 loop
      v_crc := (v_crc >> 1) # (case when v_crc & 1 = 1 then 3988292384 else 0 end);
    end loop;
  end loop;
  return v_crc # 4294967295;
end
$$;
revoke all on function private.crc32(bytea) from public, anon, authenticated, service_role;

-- A new secret. Bytes from 248 on are passed over, or some characters would be likelier than others.
create function private.new_api_key_secret(p_prefix text) returns text
language plpgsql volatile set search_path = '' as $$
declare
  v_secret text := p_prefix;
  v_bytes bytea;
begin
  while char_length(v_secret) < char_length(p_prefix) + 30 loop
    -- 244 random bits from two ids, spread over 32 bytes.
    v_bytes := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
    for v_i in 0..31 loop
      exit when char_length(v_secret) = char_length(p_prefix) + 30;
      if get_byte(v_bytes, v_i) < 248 then
        v_secret := v_secret || private.base62(get_byte(v_bytes, v_i) % 62, 1);
      end if;
    end loop;
  end loop;
  return v_secret || private.base62(private.crc32(convert_to(v_secret, 'UTF8')), 6);
end
$$;
revoke all on function private.new_api_key_secret(text) from public, anon, authenticated, service_role;


-- Making and revoking ------------------------------------------------------------------------------------------------

create function private.create_api_key(
  p_tenant_id uuid, p_name text, p_role public.member_role, p_expires_at timestamptz
) returns public.created_api_key
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_own public.member_role := private.lock_members(p_tenant_id, 'apikey:create');
  v_name text := btrim(p_name);
  v_parent public.api_keys;
  v_key public.created_api_key;
begin
  perform private.require_role_within(v_own, p_role);
  if v_name is null or char_length(v_name) not between 1 and 100 then
    perform private.raise_error(400, 'invalid_name', 'An API key''s name has 1 to 100 characters.');
  end if;
  if p_expires_at <= private.tenant_now(p_tenant_id) then
    perform private.raise_error(400, 'invalid_expiry', 'An API key expires in the future, or never.');
  end if;
  select * into v_parent from public.api_keys k where k.id = private.api_key_id();
  select private.new_api_key_secret(case when t.is_test then 'sk_test_' else 'sk_live_' end) into v_key.secret
  from public.tenants t where t.id = p_tenant_id;
  insert into public.api_keys (tenant_id, name, prefix, role, expires_at, created_by, parent_id)
  values (
    p_tenant_id, v_name, left(v_key.secret, 12), p_role, least(p_expires_at, v_parent.expires_at),
    coalesce(auth.uid(), v_parent.created_by), v_parent.id
  )
  returning id into v_key.id;
  insert into private.api_key_hashes (secret_hash, api_key_id)
  values (sha256(convert_to(v_key.secret, 'UTF8')), v_key.id);
  return v_key;
end
$$;
revoke all on function private.create_api_key(uuid, text, public.member_role, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.create_api_key(uuid, text, public.member_role, timestamptz) to authenticated, service_role;

create function public.create_api_key(
  tenant_id uuid, name text, role public.member_role, expires_at timestamptz default null
) returns public.created_api_key
language sql volatile security invoker set search_path = '' as $$ select * from private.create_api_key($1, $2, $3, $4) $$;
comment on function public.create_api_key(uuid, text, public.member_role, timestamptz) is
  'Makes an API key in a role up to the caller''s own, and shows its secret this once. Needs apikey:create.';
revoke all on function public.create_api_key(uuid, text, public.member_role, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.create_api_key(uuid, text, public.member_role, timestamptz) to authenticated, service_role;

create function private.revoke_api_key(p_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_key public.api_keys;
  v_revoked uuid[];
begin
  select * into v_key from public.api_keys k where k.id = p_id;
  if not found or not private.has_permission(v_key.tenant_id, 'apikey:read') then
    perform private.raise_error(404, 'api_key_not_found', 'There is no such API key.');
  end if;
  perform private.require_role_within(private.lock_members(v_key.tenant_id, 'apikey:delete'), v_key.role);
  with recursive keys as (
    select p_id as id
    union
    select k.id from public.api_keys k join keys p on k.parent_id = p.id
  ), revoked as (
    update public.api_keys k set revoked_at = now()
    from keys where k.id = keys.id and k.revoked_at is null
    returning k.id
  )
  select coalesce(array_agg(r.id), '{}') into v_revoked from revoked r;
  perform private.revoke_invites_by(r.id, null, null) from unnest(v_revoked) r (id);
end
$$;
revoke all on function private.revoke_api_key(uuid) from public, anon, authenticated, service_role;
grant execute on function private.revoke_api_key(uuid) to authenticated, service_role;

create function public.revoke_api_key(id uuid) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.revoke_api_key($1) $$;
comment on function public.revoke_api_key(uuid) is
  'Ends an API key and those that it made, at once and for good, and revokes their invites. Needs apikey:delete and a role not below the key''s.';
revoke all on function public.revoke_api_key(uuid) from public, anon, authenticated, service_role;
grant execute on function public.revoke_api_key(uuid) to authenticated, service_role;


-- Using --------------------------------------------------------------------------------------------------------------

-- The key of this id, if it may be used now: no row for one that is revoked, expired, made by a suspended user, or of a
-- suspended tenant.
create function private.usable_api_key(p_id uuid) returns setof public.api_keys
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select k.*
    from public.api_keys k
    join public.tenants t on t.id = k.tenant_id
    where k.id = p_id and t.status = 'active' and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now() + t.clock_offset)
      and not exists (select from public.user_suspensions s where s.user_id = k.created_by);
end
$$;
revoke all on function private.usable_api_key(uuid) from public, anon, authenticated, service_role;

-- Which key has this secret, if it may be used; counts the use. p_secret_hash is the SHA-256 in hexadecimal.
create function private.authenticate_api_key(p_secret_hash text) returns setof public.authenticated_api_key
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_key public.authenticated_api_key;
begin
  if p_secret_hash is null or p_secret_hash !~ '^[0-9a-f]{64}$' then
    perform private.raise_error(400, 'invalid_secret_hash', 'Send the SHA-256 of the secret, as 64 hexadecimal digits.');
  end if;
  select k.id, k.tenant_id, k.role into v_key
  from private.api_key_hashes h
  cross join lateral private.usable_api_key(h.api_key_id) k
  where h.secret_hash = decode(p_secret_hash, 'hex');
  if not found then
    return;
  end if;
  -- A crash of the server may lose the last few hundred milliseconds of this counting; nothing waits for the disk.
  if current_setting('request.path', true) = '/rpc/authenticate_api_key' then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  insert into private.api_key_uses as u (api_key_id, source, uses, last_used_at)
  values (v_key.api_key_id, pg_backend_pid(), 1, now())
  on conflict (api_key_id, source) do update set uses = u.uses + 1, last_used_at = excluded.last_used_at;
  return next v_key;
end
$$;
revoke all on function private.authenticate_api_key(text) from public, anon, authenticated, service_role;
grant execute on function private.authenticate_api_key(text) to service_role;

create function public.authenticate_api_key(secret_hash text) returns setof public.authenticated_api_key
language sql volatile security invoker set search_path = '' as $$ select * from private.authenticate_api_key($1) $$;
comment on function public.authenticate_api_key(text) is
  'The API key with this SHA-256 (hexadecimal), no row if there is none that may be used; counts the use. Service role.';
revoke all on function public.authenticate_api_key(text) from public, anon, authenticated, service_role;
grant execute on function public.authenticate_api_key(text) to service_role;

-- Adds uses to their keys. Rows in use wait for the next time.
create function private.fold_api_key_uses() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  with taken as (
    delete from private.api_key_uses u
    using (
      select s.api_key_id, s.source from private.api_key_uses s
      order by s.api_key_id, s.source
      for update skip locked
    ) d
    where u.api_key_id = d.api_key_id and u.source = d.source
    returning u.api_key_id, u.uses, u.last_used_at
  )
  update public.api_keys k
  set request_count = k.request_count + t.uses, last_used_at = greatest(k.last_used_at, t.last_used_at)
  from (select api_key_id, sum(uses) as uses, max(last_used_at) as last_used_at from taken group by api_key_id) t
  where k.id = t.api_key_id;
end
$$;
revoke all on function private.fold_api_key_uses() from public, anon, authenticated, service_role;
