-- Audit: who did what, to what, and how it ended. Append-only, partitioned by month, with proof that it is still whole.
--
-- No foreign keys, so that everything can be audited from the start and outlives what it speaks of. Times are the real
-- `now()`, never a tenant's test clock.
--
-- The proof is a chain for each tenant. Writing an event leaves its digest in a work list; each minute a pass seals what
-- it sees there: it gives the digests the tenant's next numbers and links each to the one before it by a hash. So no
-- writer waits for another of its tenant. The head of each chain is kept apart from it, so a tail that was cut is missed,
-- and can be kept by the tenant as well. Events that belong to no tenant have a chain of their own, under the id nil.
--
-- Personal data (ip_address, user_agent, personal) stays out of the digest. The chain holds a salted hash of it instead,
-- whose salt goes when the data is erased: what is left proves the rest of the event, and cannot be used to guess the data.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.audit_actor as enum ('system', 'admin', 'tenant', 'visitor', 'api_key');
create type public.audit_severity as enum ('info', 'warning', 'error', 'critical');
create type public.audit_result as enum ('success', 'failure', 'partial');
create type public.audit_source as enum ('database', 'application');

create table public.audit_events (
  event_id uuid not null default gen_random_uuid(),
  occurred_at timestamptz not null default now(),
  tenant_id uuid,
  event_type text not null,
  action text not null,
  entity_type text,
  entity_id text,
  actor_type public.audit_actor not null,
  actor_id text,
  source public.audit_source not null default 'database',
  severity public.audit_severity not null default 'info',
  result public.audit_result not null default 'success',
  old_values jsonb,
  new_values jsonb,
  changes_summary text,
  error_message text,
  ip_address inet,
  user_agent text,
  request_id text,
  metadata jsonb not null default '{}',
  personal jsonb,
  primary key (event_id, occurred_at)
) partition by range (occurred_at);
comment on table public.audit_events is 'What was done: append-only, a partition a month. Written by private.audit alone.';
comment on column public.audit_events.actor_id is 'User id, API key id, or the database role of the system.';
comment on column public.audit_events.source is 'Whether the database saw it happen, or the application told of it.';
comment on column public.audit_events.ip_address is
  'What the nearest proxy says: where a request can come past it, its sender chooses. Of a request through an edge function, the function''s.';
comment on column public.audit_events.personal is 'Personal data, such as an e-mail address, that can be erased.';

alter table public.audit_events enable row level security;

revoke all on public.audit_events from anon, authenticated, service_role;
grant select on public.audit_events to authenticated, service_role;

create index audit_events_by_tenant on public.audit_events (tenant_id, occurred_at desc, event_id desc);
create index audit_events_by_actor on public.audit_events (actor_id, occurred_at desc);
create index audit_events_by_entity on public.audit_events (entity_id, entity_type);

create table private.audit_unsealed (
  event_id uuid primary key,
  occurred_at timestamptz not null,
  tenant_id uuid not null,
  digest bytea not null,
  personal_digest bytea,
  personal_salt uuid
);
comment on table private.audit_unsealed is 'The work list of the chain: events that have no place in it yet.';
alter table private.audit_unsealed enable row level security;
create index audit_unsealed_by_tenant on private.audit_unsealed (tenant_id);

create table private.audit_chain (
  tenant_id uuid not null,
  seq bigint not null,
  event_id uuid not null,
  occurred_at timestamptz not null,
  digest bytea not null,
  personal_digest bytea,
  personal_salt uuid,
  hash bytea not null,
  primary key (tenant_id, seq),
  constraint audit_chain_event_once unique (event_id)
);
comment on table private.audit_chain is 'The events of each tenant in the order of their sealing; hash covers the hash before it, both digests and the time.';
comment on column private.audit_chain.personal_salt is 'Null when the personal data is erased.';
alter table private.audit_chain enable row level security;

create table private.audit_heads (
  tenant_id uuid primary key,
  seq bigint not null,
  hash bytea not null,
  pruned_seq bigint not null default 0,
  pruned_hash bytea
);
comment on table private.audit_heads is 'Where each chain ends, and where it begins since older months were dropped.';
alter table private.audit_heads enable row level security;


-- Makes the partitions of this month and of p_months after it.
create function private.ensure_audit_partitions(p_months int default 2) returns void
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC' as $$
declare
  v_month timestamptz;
begin
  for v_month in
    select generate_series(date_trunc('month', now(), 'UTC'), now() + make_interval(months => p_months), '1 month')
  loop
    perform private.ensure_partition(
      'audit_events', (to_char(v_month at time zone 'UTC', '"audit_events_y"YYYY"m"MM'))::name, v_month, v_month + interval '1 month'
    );
  end loop;
end
$$;
revoke all on function private.ensure_audit_partitions(int) from public, anon, authenticated, service_role;

select private.ensure_audit_partitions();


-- What the chain holds of an event. Times are UTC ISO text: the session's time zone must not change a digest.
create function private.audit_digest(p_event public.audit_events) returns bytea
language plpgsql stable set search_path = '' as $$
begin
  return sha256(convert_to(jsonb_build_array(
    p_event.event_id, to_char(p_event.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_event.tenant_id,
    p_event.event_type, p_event.action, p_event.entity_type, p_event.entity_id, p_event.actor_type, p_event.actor_id,
    p_event.source, p_event.severity, p_event.result, p_event.old_values, p_event.new_values, p_event.changes_summary,
    p_event.error_message, p_event.request_id, p_event.metadata
  )::text, 'UTF8'));
end
$$;
revoke all on function private.audit_digest(public.audit_events) from public, anon, authenticated, service_role;

-- The same of its personal data; null where there is none.
create function private.audit_personal_digest(p_event public.audit_events, p_salt uuid) returns bytea
language plpgsql stable set search_path = '' as $$
begin
  if p_event.ip_address is null and p_event.user_agent is null and p_event.personal is null then
    return null;
  end if;
  return sha256(convert_to(jsonb_build_array(
    p_salt, p_event.ip_address::text, p_event.user_agent, p_event.personal
  )::text, 'UTF8'));
end
$$;
revoke all on function private.audit_personal_digest(public.audit_events, uuid) from public, anon, authenticated, service_role;

-- Writes an event, now, and its digest. An event_id that was written before is the same event, and nothing is written; that
-- of another tenant's event is refused, or whoever uses an id first would silence who means to.
create function private.write_audit_event(p_event public.audit_events) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant_id uuid := coalesce(p_event.tenant_id, private.no_tenant());
  v_salt uuid := gen_random_uuid();
  v_known_tenant_id uuid;
begin
  if p_event.event_id is null then
    p_event.event_id := gen_random_uuid();
  else
    -- Of several that write the same id at once, the others wait here and then see it.
    perform pg_advisory_xact_lock(hashtextextended(p_event.event_id::text, 0));
    select k.tenant_id into v_known_tenant_id
    from (
      select u.tenant_id from private.audit_unsealed u where u.event_id = p_event.event_id
      union all
      select c.tenant_id from private.audit_chain c where c.event_id = p_event.event_id
    ) k;
    if v_known_tenant_id = v_tenant_id then
      return p_event.event_id;
    elsif found then
      perform private.raise_error(409, 'idempotency_key_reused', 'The event_id is that of another event.');
    end if;
  end if;
  p_event.occurred_at := now();
  insert into private.audit_unsealed (event_id, occurred_at, tenant_id, digest, personal_digest, personal_salt)
  values (
    p_event.event_id, p_event.occurred_at, v_tenant_id, private.audit_digest(p_event),
    private.audit_personal_digest(p_event, v_salt), v_salt
  );
  perform private.ensure_audit_partitions(0);
  insert into public.audit_events values (p_event.*);
  return p_event.event_id;
end
$$;
revoke all on function private.write_audit_event(public.audit_events) from public, anon, authenticated, service_role;

-- The tenant of events that belong to none.
create function private.no_tenant() returns uuid
language sql immutable set search_path = '' as $$ select '00000000-0000-0000-0000-000000000000'::uuid $$;
revoke all on function private.no_tenant() from public, anon, authenticated, service_role;

-- The address of the client that sent this request, as far as the API knows; null for what is no address.
create function private.request_ip(p_headers jsonb) returns inet
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(
    p_headers ->> 'cf-connecting-ip', p_headers ->> 'x-real-ip', btrim(split_part(p_headers ->> 'x-forwarded-for', ',', 1))
  )::inet;
exception when invalid_text_representation then
  return null;
end
$$;
revoke all on function private.request_ip(jsonb) from public, anon, authenticated, service_role;

-- An event by whoever is calling, from the request that is being served.
create function private.new_audit_event(p_tenant_id uuid, p_event_type text, p_action text) returns public.audit_events
language plpgsql stable security definer set search_path = '' as $$
declare
  v_headers jsonb := coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  v_event public.audit_events;
begin
  v_event.tenant_id := p_tenant_id;
  v_event.event_type := p_event_type;
  v_event.action := p_action;
  v_event.actor_type := (case
    when private.is_trusted() then 'system'
    when private.api_key_id() is not null then 'api_key'
    when auth.uid() is null then 'visitor'
    when private.is_platform_admin() then 'admin'
    else 'tenant'
  end)::public.audit_actor;
  v_event.actor_id := case v_event.actor_type
    when 'system' then coalesce(nullif(current_setting('role'), 'none'), session_user)
    when 'api_key' then private.api_key_id()::text
    else auth.uid()::text
  end;
  v_event.source := 'database';
  v_event.severity := 'info';
  v_event.result := 'success';
  v_event.metadata := '{}';
  v_event.ip_address := private.request_ip(v_headers);
  v_event.user_agent := left(v_headers ->> 'user-agent', 1000);
  v_event.request_id := left(v_headers ->> 'x-request-id', 200);
  return v_event;
end
$$;
revoke all on function private.new_audit_event(uuid, text, text) from public, anon, authenticated, service_role;

-- Records one event by whoever is calling; returns its id.
create function private.audit(
  p_tenant_id uuid,
  p_event_type text,
  p_action text,
  p_entity_type text default null,
  p_entity_id text default null,
  p_old_values jsonb default null,
  p_new_values jsonb default null,
  p_severity public.audit_severity default 'info',
  p_result public.audit_result default 'success',
  p_metadata jsonb default '{}',
  p_personal jsonb default null,
  p_changes_summary text default null
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event public.audit_events := private.new_audit_event(p_tenant_id, p_event_type, p_action);
begin
  v_event.entity_type := p_entity_type;
  v_event.entity_id := p_entity_id;
  v_event.old_values := p_old_values;
  v_event.new_values := p_new_values;
  v_event.severity := p_severity;
  v_event.result := p_result;
  v_event.metadata := p_metadata;
  v_event.personal := p_personal;
  v_event.changes_summary := p_changes_summary;
  return private.write_audit_event(v_event);
end
$$;
revoke all on function private.audit(
  uuid, text, text, text, text, jsonb, jsonb, public.audit_severity, public.audit_result, jsonb, jsonb, text
) from public, anon, authenticated, service_role;


-- Trigger for tables whose changes matter: `private.audit_change('<entity type>', '<column of its id>', '<column of
-- personal data>'…)`. The tenant is the row's tenant_id; a tenant's own row is its own. A change of nothing but updated_at
-- is none.
create function private.audit_change() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_entity_type text := tg_argv[0];
  v_personal_columns text[] := tg_argv[2:];
  v_old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - 'updated_at' end;
  v_new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - 'updated_at' end;
  v_row jsonb := coalesce(v_new_row, v_old_row);
  v_old jsonb := v_old_row - v_personal_columns;
  v_new jsonb := v_new_row - v_personal_columns;
  v_action text := case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' else 'deleted' end;
begin
  if v_old_row is distinct from v_new_row then
    perform private.audit(
      (v_row ->> case v_entity_type when 'tenant' then 'id' else 'tenant_id' end)::uuid,
      v_entity_type || '_' || v_action, v_action, v_entity_type, v_row ->> tg_argv[1], v_old, v_new,
      p_personal => (select jsonb_object_agg(c, v_row -> c) from unnest(v_personal_columns) c),
      p_changes_summary => (
        select left(string_agg(format('%s: %s → %s', c.key, v_old -> c.key, c.value), ', ' order by c.key), 1000)
        from jsonb_each(v_new) c
        where v_old -> c.key <> c.value
      )
    );
  end if;
  return null;
end
$$;
revoke all on function private.audit_change() from public, anon, authenticated, service_role;

-- Who signs up is recorded, with the address as personal data.
create function private.audit_signup() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event public.audit_events := private.new_audit_event(null, 'user_signup', 'created');
begin
  v_event.entity_type := 'user';
  v_event.entity_id := new.id::text;
  v_event.actor_type := 'visitor';
  v_event.actor_id := new.id::text;
  v_event.personal := jsonb_build_object('email', new.email);
  perform private.write_audit_event(v_event);
  return null;
end
$$;
revoke all on function private.audit_signup() from public, anon, authenticated, service_role;
create trigger meterbase_audit_signup after insert on auth.users
  for each row execute function private.audit_signup();


-- The chain ----------------------------------------------------------------------------------------------------------

-- The hash of a link: over the hash before it, the event's digest, that of its personal data, and the event's time: a link
-- of a month that was dropped may be without its event, so nobody may make a link older.
create function private.audit_link(p_before bytea, p_digest bytea, p_personal_digest bytea, p_occurred_at timestamptz)
returns bytea
language sql immutable set search_path = '' as $$
  select sha256(
    coalesce(p_before, ''::bytea) || p_digest || coalesce(p_personal_digest, ''::bytea) || timestamptz_send(p_occurred_at)
  )
$$;
revoke all on function private.audit_link(bytea, bytea, bytea, timestamptz) from public, anon, authenticated, service_role;

-- Gives up to p_max_rows events their places in the chains, and says to how many. Passes take turns; an event whose
-- transaction is still open is not seen yet and comes later.
create function private.seal_audit_events(p_max_rows int default 50000) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event private.audit_unsealed;
  v_head private.audit_heads;
  v_sealed int := 0;
begin
  perform pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events'));
  for v_event in
    with seen as (
      select u.event_id from private.audit_unsealed u order by u.occurred_at, u.event_id limit p_max_rows
    ), taken as (
      delete from private.audit_unsealed u using seen s where u.event_id = s.event_id returning u.*
    )
    select * from taken t order by t.tenant_id, t.occurred_at, t.event_id
  loop
    if v_head.tenant_id is distinct from v_event.tenant_id then
      update private.audit_heads h set seq = v_head.seq, hash = v_head.hash where h.tenant_id = v_head.tenant_id;
      insert into private.audit_heads (tenant_id, seq, hash) values (v_event.tenant_id, 0, '') on conflict do nothing;
      select * into v_head from private.audit_heads h where h.tenant_id = v_event.tenant_id;
    end if;
    v_head.seq := v_head.seq + 1;
    v_head.hash := private.audit_link(v_head.hash, v_event.digest, v_event.personal_digest, v_event.occurred_at);
    insert into private.audit_chain (
      tenant_id, seq, event_id, occurred_at, digest, personal_digest, personal_salt, hash
    ) values (
      v_event.tenant_id, v_head.seq, v_event.event_id, v_event.occurred_at, v_event.digest, v_event.personal_digest,
      v_event.personal_salt, v_head.hash
    );
    v_sealed := v_sealed + 1;
  end loop;
  update private.audit_heads h set seq = v_head.seq, hash = v_head.hash where h.tenant_id = v_head.tenant_id;
  return v_sealed;
end
$$;
revoke all on function private.seal_audit_events(int) from public, anon, authenticated, service_role;
