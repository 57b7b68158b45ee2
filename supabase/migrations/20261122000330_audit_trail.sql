-- The audit trail: telling of what the database cannot see, reading, resolving, proving, erasing and forgetting.
--
-- An event never changes; that it was dealt with stands in a table of its own. Reading needs audit:read in the tenant;
-- what belongs to no tenant is for platform admins.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.audit_entry as (
  event_id uuid, occurred_at timestamptz, tenant_id uuid, event_type text, action text, entity_type text, entity_id text,
  actor_type public.audit_actor, actor_id text, source public.audit_source, severity public.audit_severity,
  result public.audit_result, old_values jsonb, new_values jsonb, changes_summary text, error_message text,
  ip_address inet, user_agent text, request_id text, metadata jsonb, personal jsonb,
  resolved_at timestamptz, resolved_by text, resolution_note text
);
create type public.audit_verification as (
  is_intact boolean, events bigint, pending bigint, head_seq bigint, head_hash text, anchor text, problems jsonb
);
create type private.audit_partition as (name name, starts_at timestamptz, ends_at timestamptz);

create table public.audit_resolutions (
  event_id uuid primary key,
  tenant_id uuid,
  occurred_at timestamptz not null,
  note text,
  resolved_by text,
  resolved_at timestamptz not null default now(),
  constraint audit_resolutions_note_length check (char_length(note) <= 2000)
);
comment on table public.audit_resolutions is 'Which audit events were dealt with, by whom and how.';
comment on column public.audit_resolutions.occurred_at is 'The event''s, by which it is found in its partition.';
alter table public.audit_resolutions enable row level security;
revoke all on public.audit_resolutions from anon, authenticated, service_role;
grant select on public.audit_resolutions to authenticated, service_role;
create policy members_read_audit_resolutions on public.audit_resolutions for select to authenticated
  using (
    tenant_id = any (array(select private.tenant_ids_with('audit:read')))
    or (tenant_id is null and (select private.is_platform_admin()))
  );
create index audit_resolutions_by_tenant on public.audit_resolutions (tenant_id, occurred_at);

create table private.audit_retention (
  is_only_row boolean primary key default true,
  events_since timestamptz not null default '-infinity',
  constraint audit_retention_is_only_row check (is_only_row)
);
comment on table private.audit_retention is 'Since when all audit events are still there; older ones were dropped.';
insert into private.audit_retention default values;
alter table private.audit_retention enable row level security;


-- Ends the call unless the caller may read the events of a tenant, or of none (null).
create function private.require_audit_read(p_tenant_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_tenant_id is null then
    perform private.require_platform_admin();
  else
    perform private.require_permission(p_tenant_id, 'audit:read');
  end if;
end
$$;
revoke all on function private.require_audit_read(uuid) from public, anon, authenticated, service_role;


-- Telling ------------------------------------------------------------------------------------------------------------

-- Who it was is who calls; only trusted callers tell of others.
create function private.log_audit_event(
  p_tenant_id uuid, p_event_type text, p_action text, p_entity_type text, p_entity_id text, p_old_values jsonb,
  p_new_values jsonb, p_changes_summary text, p_severity public.audit_severity, p_result public.audit_result,
  p_error_message text, p_metadata jsonb, p_personal jsonb, p_actor_type public.audit_actor, p_actor_id text,
  p_ip_address inet, p_user_agent text, p_request_id text, p_event_id uuid
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event public.audit_events := private.new_audit_event(p_tenant_id, p_event_type, p_action);
begin
  if p_tenant_id is null then
    perform private.require_platform_admin();
  else
    perform private.require_permission(p_tenant_id, 'usage:write');
    perform private.tenant_now(p_tenant_id); -- PT404 unless the tenant exists
  end if;
  if p_event_type is null or p_event_type !~ '^[a-z][a-z0-9_.]{0,62}$' then
    perform private.raise_error(400, 'invalid_event_type', 'An event type is a name of lower case letters, digits, "_" and ".".');
  end if;
  if jsonb_typeof(p_metadata) <> 'object' or jsonb_typeof(p_personal) <> 'object' then
    perform private.raise_error(400, 'invalid_metadata', 'metadata and personal are JSON objects.');
  end if;
  if p_event_type ~ '_(created|updated|deleted)$' and exists (
    select from pg_catalog.pg_trigger t
    where t.tgfoid = 'private.audit_change'::regproc
      and p_event_type ~ ('^' || split_part(encode(t.tgargs, 'escape'), '\000', 1) || '_(created|updated|deleted)$')
  ) then
    perform private.raise_error(400, 'reserved_event_type', format('Only the database tells of %s.', p_event_type));
  end if;
  if private.is_trusted() then
    v_event.actor_type := coalesce(p_actor_type, v_event.actor_type);
    v_event.actor_id := case when p_actor_type is null then coalesce(p_actor_id, v_event.actor_id) else p_actor_id end;
    v_event.ip_address := coalesce(p_ip_address, v_event.ip_address);
    v_event.user_agent := coalesce(p_user_agent, v_event.user_agent);
    v_event.request_id := coalesce(p_request_id, v_event.request_id);
  elsif num_nonnulls(p_actor_type, p_actor_id, p_ip_address, p_user_agent, p_request_id) > 0 then
    perform private.raise_error(
      403, 'actor_not_yours', 'Who acted, from where and in which request is read from the request itself.'
    );
  end if;
  v_event.event_id := p_event_id;
  v_event.source := 'application';
  v_event.action := coalesce(p_action, p_event_type);
  v_event.entity_type := p_entity_type;
  v_event.entity_id := p_entity_id;
  v_event.old_values := p_old_values;
  v_event.new_values := p_new_values;
  v_event.changes_summary := p_changes_summary;
  v_event.severity := coalesce(p_severity, 'info');
  v_event.result := coalesce(p_result, 'success');
  v_event.error_message := p_error_message;
  v_event.metadata := coalesce(p_metadata, '{}');
  v_event.personal := p_personal;
  if octet_length(v_event::text) > 65536 then
    perform private.raise_error(400, 'audit_event_too_large', 'An audit event has at most 64 kB.');
  end if;
  return private.write_audit_event(v_event);
end
$$;
revoke all on function private.log_audit_event(
  uuid, text, text, text, text, jsonb, jsonb, text, public.audit_severity, public.audit_result, text, jsonb, jsonb,
  public.audit_actor, text, inet, text, text, uuid
) from public, anon, authenticated, service_role;
grant execute on function private.log_audit_event(
  uuid, text, text, text, text, jsonb, jsonb, text, public.audit_severity, public.audit_result, text, jsonb, jsonb,
  public.audit_actor, text, inet, text, text, uuid
) to authenticated, service_role;

create function public.log_audit_event(
  tenant_id uuid, event_type text, action text default null, entity_type text default null, entity_id text default null,
  old_values jsonb default null, new_values jsonb default null, changes_summary text default null,
  severity public.audit_severity default 'info', result public.audit_result default 'success',
  error_message text default null, metadata jsonb default '{}', personal jsonb default null,
  actor_type public.audit_actor default null, actor_id text default null, ip_address inet default null,
  user_agent text default null, request_id text default null, event_id uuid default null
) returns uuid
language sql volatile security invoker set search_path = '' as $$ select * from private.log_audit_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) $$;
comment on function public.log_audit_event(
  uuid, text, text, text, text, jsonb, jsonb, text, public.audit_severity, public.audit_result, text, jsonb, jsonb,
  public.audit_actor, text, inet, text, text, uuid
) is
  'Records what the application saw, once for an event_id, and returns the id. What can be erased later belongs into personal. The actor is the caller; only the service role names others. Needs usage:write.';
revoke all on function public.log_audit_event(
  uuid, text, text, text, text, jsonb, jsonb, text, public.audit_severity, public.audit_result, text, jsonb, jsonb,
  public.audit_actor, text, inet, text, text, uuid
) from public, anon, authenticated, service_role;
grant execute on function public.log_audit_event(
  uuid, text, text, text, text, jsonb, jsonb, text, public.audit_severity, public.audit_result, text, jsonb, jsonb,
  public.audit_actor, text, inet, text, text, uuid
) to authenticated, service_role;


-- Reading ------------------------------------------------------------------------------------------------------------

create function private.get_audit_events(
  p_tenant_id uuid, p_action text, p_entity_type text, p_entity_id text, p_actor_type public.audit_actor, p_user_id uuid,
  p_severity public.audit_severity, p_result public.audit_result, p_from timestamptz, p_to timestamptz, p_max_rows int,
  p_before_ts timestamptz, p_before_id uuid, p_skip_rows int, p_category text, p_source public.audit_source
) returns setof public.audit_entry
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
declare
  -- As a prefix: `payment` finds payment_failed; `_` and `%` are no wildcards.
  v_action text := regexp_replace(p_action, '([\\%_])', '\\\1', 'g') || '%';
begin
  perform private.require_audit_read(p_tenant_id);
  perform private.check_max_rows(p_max_rows);
  if p_skip_rows is null or p_skip_rows < 0 then
    perform private.raise_error(400, 'invalid_skip_rows', 'Skip 0 rows or more.');
  end if;
  if p_category not in ('activity', 'failed', 'security') then
    perform private.raise_error(400, 'invalid_category', 'A category is activity, failed or security.');
  end if;
  return query
    select e.event_id, e.occurred_at, e.tenant_id, e.event_type, e.action, e.entity_type, e.entity_id, e.actor_type,
      e.actor_id, e.source, e.severity, e.result, e.old_values, e.new_values, e.changes_summary, e.error_message,
      e.ip_address, e.user_agent, e.request_id, e.metadata, e.personal, r.resolved_at, r.resolved_by, r.note
    from (
      select * from public.audit_events e
      where (p_tenant_id is null or e.tenant_id = p_tenant_id)
        and (p_action is null or e.event_type like v_action or e.action = p_action)
        and (p_entity_type is null or e.entity_type = p_entity_type)
        and (p_entity_id is null or e.entity_id = p_entity_id)
        and (p_actor_type is null or e.actor_type = p_actor_type)
        and (p_user_id is null or e.actor_id = p_user_id::text)
        and (p_severity is null or e.severity = p_severity)
        and (p_result is null or e.result = p_result)
        and (p_source is null or e.source = p_source)
        and (p_category is null or case p_category
          when 'activity' then e.entity_type in ('membership', 'tenant_invite', 'api_key')
          when 'failed' then e.result <> 'success'
          else private.is_security_event(e.event_type)
        end)
        and e.occurred_at >= coalesce(p_from, '-infinity') and e.occurred_at < coalesce(p_to, 'infinity')
        and (
          p_before_ts is null
          or e.occurred_at <= p_before_ts
            and (e.occurred_at, e.event_id) < (p_before_ts, coalesce(p_before_id, private.no_tenant()))
        )
      order by e.occurred_at desc, e.event_id desc
      limit p_max_rows offset p_skip_rows
    ) e
    left join public.audit_resolutions r on r.event_id = e.event_id
    order by e.occurred_at desc, e.event_id desc;
end
$$;
revoke all on function private.get_audit_events(
  uuid, text, text, text, public.audit_actor, uuid, public.audit_severity, public.audit_result, timestamptz, timestamptz,
  int, timestamptz, uuid, int, text, public.audit_source
) from public, anon, authenticated, service_role;
grant execute on function private.get_audit_events(
  uuid, text, text, text, public.audit_actor, uuid, public.audit_severity, public.audit_result, timestamptz, timestamptz,
  int, timestamptz, uuid, int, text, public.audit_source
) to authenticated, service_role;

create function public.get_audit_events(
  tenant_id uuid default null, action text default null, entity_type text default null, entity_id text default null,
  actor_type public.audit_actor default null, user_id uuid default null, severity public.audit_severity default null,
  result public.audit_result default null, from_ts timestamptz default null, to_ts timestamptz default null,
  max_rows int default 100, before_ts timestamptz default null, before_id uuid default null, skip_rows int default 0,
  category text default null, source public.audit_source default null
) returns setof public.audit_entry
language sql stable security invoker set search_path = '' as $$ select * from private.get_audit_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) $$;
comment on function public.get_audit_events(
  uuid, text, text, text, public.audit_actor, uuid, public.audit_severity, public.audit_result, timestamptz, timestamptz,
  int, timestamptz, uuid, int, text, public.audit_source
) is
  'Audit events in [from_ts, to_ts), newest first, with their resolutions; the next page is before the last one''s occurred_at and event_id. `action` is an action, or how an event type begins; `category` activity (members, invites, keys), failed or security. Needs audit:read; without a tenant, platform admins.';
revoke all on function public.get_audit_events(
  uuid, text, text, text, public.audit_actor, uuid, public.audit_severity, public.audit_result, timestamptz, timestamptz,
  int, timestamptz, uuid, int, text, public.audit_source
) from public, anon, authenticated, service_role;
grant execute on function public.get_audit_events(
  uuid, text, text, text, public.audit_actor, uuid, public.audit_severity, public.audit_result, timestamptz, timestamptz,
  int, timestamptz, uuid, int, text, public.audit_source
) to authenticated, service_role;

-- Marks an event as dealt with; the first to do so stands.
create function private.resolve_audit_event(p_event_id uuid, p_note text) returns public.audit_resolutions
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event record;
  v_resolution public.audit_resolutions;
begin
  select e.tenant_id, e.occurred_at, e.event_type into v_event from public.audit_events e where e.event_id = p_event_id;
  if not found or not (
    case when v_event.tenant_id is null then private.is_trusted() or private.is_platform_admin()
      else private.has_permission(v_event.tenant_id, 'audit:read') end
  ) then
    perform private.raise_error(404, 'audit_event_not_found', 'There is no such event.');
  end if;
  if v_event.tenant_id is not null then
    perform private.require_permission(v_event.tenant_id, 'tenant:write');
  end if;
  if char_length(p_note) > 2000 then
    perform private.raise_error(400, 'invalid_note', 'A note has at most 2,000 characters.');
  end if;
  insert into public.audit_resolutions (event_id, tenant_id, occurred_at, note, resolved_by)
  values (
    p_event_id, v_event.tenant_id, v_event.occurred_at, p_note,
    (private.new_audit_event(v_event.tenant_id, '', '')).actor_id
  )
  on conflict do nothing
  returning * into v_resolution;
  if not found then
    select * into v_resolution from public.audit_resolutions r where r.event_id = p_event_id;
    return v_resolution;
  end if;
  perform private.audit(
    v_event.tenant_id, 'audit_event_resolved', 'resolved', 'audit_event', p_event_id::text, null,
    jsonb_build_object('event_type', v_event.event_type, 'note', p_note)
  );
  return v_resolution;
end
$$;
revoke all on function private.resolve_audit_event(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.resolve_audit_event(uuid, text) to authenticated, service_role;

create function public.resolve_audit_event(event_id uuid, note text default null) returns public.audit_resolutions
language sql volatile security invoker set search_path = '' as $$ select * from private.resolve_audit_event($1, $2) $$;
comment on function public.resolve_audit_event(uuid, text) is
  'Marks an event as dealt with, and says how; the event itself never changes, and the first resolution stands. Needs audit:read and tenant:write.';
revoke all on function public.resolve_audit_event(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.resolve_audit_event(uuid, text) to authenticated, service_role;


-- Proving ------------------------------------------------------------------------------------------------------------

-- What does not fit in a tenant's chain, in its order: at most 1,000 rows of {seq, event_id, occurred_at, problem}.
create function private.audit_problems(p_tenant_id uuid) returns setof jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_head private.audit_heads;
  v_since timestamptz := coalesce((select r.events_since from private.audit_retention r), '-infinity');
  v_first bigint;
  v_last bigint;
begin
  select * into v_head from private.audit_heads h where h.tenant_id = p_tenant_id;
  select min(c.seq), max(c.seq) into v_first, v_last from private.audit_chain c where c.tenant_id = p_tenant_id;

  return query
    with links as (
      select c.*,
        coalesce(lag(c.seq) over in_order, v_head.pruned_seq, 0) as seq_before,
        coalesce(lag(c.hash) over in_order, v_head.pruned_hash) as hash_before
      from private.audit_chain c
      where c.tenant_id = p_tenant_id
      window in_order as (order by c.seq)
    ), digests as (
      select l.seq, l.seq_before, l.event_id, l.occurred_at, l.digest, l.personal_digest, l.personal_salt,
        l.hash is distinct from private.audit_link(l.hash_before, l.digest, l.personal_digest, l.occurred_at) as is_broken
      from links l
      union all
      select null, null, u.event_id, u.occurred_at, u.digest, u.personal_digest, u.personal_salt, false
      from private.audit_unsealed u
      where u.tenant_id = p_tenant_id
    )
    select jsonb_build_object('seq', d.seq, 'event_id', d.event_id, 'occurred_at', d.occurred_at, 'problem', p.problem)
    from digests d
    left join public.audit_events e on e.event_id = d.event_id and e.occurred_at = d.occurred_at
    cross join lateral (values
      (case when d.seq > d.seq_before + 1 then 'links_missing_before' end),
      -- Where links are missing, the hash of what came before is not known.
      (case when d.is_broken and d.seq = d.seq_before + 1 then 'link_broken' end),
      (case
        when e.event_id is null then case when d.occurred_at >= v_since then 'event_deleted' end
        when private.audit_digest(e) <> d.digest then 'event_edited'
      end),
      (case when e.event_id is not null and case
        when d.personal_salt is null then private.audit_personal_digest(e, null) is not null
        else private.audit_personal_digest(e, d.personal_salt) is distinct from d.personal_digest
      end then 'personal_data_edited' end)
    ) as p (problem)
    where p.problem is not null
    order by d.seq
    limit 1000;

  -- No month is left that is said to be dropped, and a chain whose links were pruned begins with one of such a month.
  if exists (select from private.audit_partitions() p where p.starts_at < v_since)
    or v_head.pruned_seq > 0 and exists (
      select from private.audit_chain c where c.tenant_id = p_tenant_id and c.seq = v_first and c.occurred_at >= v_since
    )
  then
    return next jsonb_build_object('seq', v_first, 'problem', 'retention_differs');
  end if;

  -- Whatever exists was created, which is an event.
  if v_head.seq is null and v_last is null and exists (select from public.tenants t where t.id = p_tenant_id)
    and not exists (select from private.audit_unsealed u where u.tenant_id = p_tenant_id)
  then
    return next jsonb_build_object('seq', 1, 'problem', 'chain_missing');
  end if;

  if v_last is distinct from v_head.seq then
    return next jsonb_build_object('seq', coalesce(v_last, v_head.pruned_seq, 0) + 1, 'problem', 'tail_cut');
  elsif v_last is not null and v_head.hash is distinct from (
    select c.hash from private.audit_chain c where c.tenant_id = p_tenant_id and c.seq = v_last
  ) then
    return next jsonb_build_object('seq', v_last, 'problem', 'head_differs');
  end if;

  return query
    select jsonb_build_object('seq', null, 'event_id', e.event_id, 'occurred_at', e.occurred_at, 'problem', 'event_not_in_chain')
    from public.audit_events e
    where (case when p_tenant_id = private.no_tenant() then e.tenant_id is null else e.tenant_id = p_tenant_id end)
      and not exists (select from private.audit_chain c where c.event_id = e.event_id)
      and not exists (select from private.audit_unsealed u where u.event_id = e.event_id)
    order by e.occurred_at
    limit 1000;
end
$$;
revoke all on function private.audit_problems(uuid) from public, anon, authenticated, service_role;

create function private.verify_audit_chain(p_tenant_id uuid, p_anchor_seq bigint, p_anchor_hash text)
returns setof public.audit_verification
language plpgsql stable security definer set search_path = '' as $$
declare
  v_tenant_id uuid := coalesce(p_tenant_id, private.no_tenant());
  v_anchored bytea;
  v_answer public.audit_verification;
begin
  perform private.require_audit_read(p_tenant_id);
  select coalesce(jsonb_agg(p), '[]') into v_answer.problems from private.audit_problems(v_tenant_id) p;
  select h.seq, encode(h.hash, 'hex') into v_answer.head_seq, v_answer.head_hash
  from private.audit_heads h where h.tenant_id = v_tenant_id;
  select count(*) into v_answer.events from private.audit_chain c where c.tenant_id = v_tenant_id;
  select count(*) into v_answer.pending from private.audit_unsealed u where u.tenant_id = v_tenant_id;

  if p_anchor_seq is not null then
    select c.hash into v_anchored
    from (
      select c.seq, c.hash from private.audit_chain c where c.tenant_id = v_tenant_id
      union all
      select h.pruned_seq, h.pruned_hash from private.audit_heads h where h.tenant_id = v_tenant_id
    ) c
    where c.seq = p_anchor_seq;
    v_answer.anchor := case
      when encode(v_anchored, 'hex') is not distinct from lower(p_anchor_hash) then 'agrees'
      -- Its link was dropped with its month: neither proof nor fault.
      when p_anchor_seq < (select h.pruned_seq from private.audit_heads h where h.tenant_id = v_tenant_id) then 'pruned'
      else 'differs'
    end;
    if v_answer.anchor = 'differs' then
      v_answer.problems := v_answer.problems || jsonb_build_object('seq', p_anchor_seq, 'problem', 'anchor_differs');
    end if;
  end if;
  v_answer.head_seq := coalesce(v_answer.head_seq, 0);
  v_answer.is_intact := v_answer.problems = '[]';
  return next v_answer;
end
$$;
revoke all on function private.verify_audit_chain(uuid, bigint, text) from public, anon, authenticated, service_role;
grant execute on function private.verify_audit_chain(uuid, bigint, text) to authenticated, service_role;

create function public.verify_audit_chain(tenant_id uuid, anchor_seq bigint default null, anchor_hash text default null)
returns setof public.audit_verification
language sql stable security invoker set search_path = '' set statement_timeout = '10min' as $$ select * from private.verify_audit_chain($1, $2, $3) $$;
comment on function public.verify_audit_chain(uuid, bigint, text) is
  'Whether a tenant''s events are what was written, all of them, and where not; with a head_seq and head_hash from before, also that what they ended is still its beginning. Needs audit:read; null is what belongs to no tenant, for platform admins.';
revoke all on function public.verify_audit_chain(uuid, bigint, text) from public, anon, authenticated, service_role;
grant execute on function public.verify_audit_chain(uuid, bigint, text) to authenticated, service_role;

-- What happened in [p_from, p_to), counted, with what needs a look and the state of the proof.
create function private.generate_audit_report(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_report jsonb;
begin
  perform private.require_permission(p_tenant_id, 'audit:read');
  perform private.check_range(p_from, p_to);
  with events as (
    select e.*, r.resolved_at
    from public.audit_events e
    left join public.audit_resolutions r on r.event_id = e.event_id
    where e.tenant_id = p_tenant_id and e.occurred_at >= p_from and e.occurred_at < p_to
  ), counts as (
    select
      count(*) as total,
      count(*) filter (where e.result <> 'success') as failed,
      count(*) filter (where e.severity in ('error', 'critical')) as severe,
      count(*) filter (where e.severity in ('error', 'critical') and e.resolved_at is null) as unresolved,
      count(*) filter (where private.is_security_event(e.event_type)) as security,
      count(distinct (e.actor_type, e.actor_id)) as actors
    from events e
  )
  select jsonb_build_object(
    'tenant_id', p_tenant_id, 'from', p_from, 'to', p_to, 'generated_at', now(),
    'total_events', c.total, 'failed_operations', c.failed, 'security_events', c.security, 'severe_events', c.severe,
    'unresolved_severe_events', c.unresolved, 'actors', c.actors,
    'by_event_type', (select jsonb_object_agg(g.k, g.n) from (select event_type, count(*) from events group by 1) g (k, n)),
    'by_action', (select jsonb_object_agg(g.k, g.n) from (select action, count(*) from events group by 1) g (k, n)),
    'by_severity', (select jsonb_object_agg(g.k, g.n) from (select severity, count(*) from events group by 1) g (k, n)),
    'by_result', (select jsonb_object_agg(g.k, g.n) from (select result, count(*) from events group by 1) g (k, n)),
    'by_actor_type', (select jsonb_object_agg(g.k, g.n) from (select actor_type, count(*) from events group by 1) g (k, n)),
    'by_day', (
      select jsonb_object_agg(g.k, g.n)
      from (select to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD'), count(*) from events group by 1) g (k, n)
    ),
    'access_changes', (
      select jsonb_agg(jsonb_build_object(
        'occurred_at', e.occurred_at, 'event_type', e.event_type, 'entity_id', e.entity_id, 'actor_type', e.actor_type,
        'actor_id', e.actor_id, 'old_role', e.old_values ->> 'role', 'new_role', e.new_values ->> 'role'
      ) order by e.occurred_at)
      from (
        select * from events
        where entity_type in ('membership', 'tenant_invite', 'api_key') and source = 'database'
        order by occurred_at desc limit 1000
      ) e
    ),
    'integrity', (select to_jsonb(v) from private.verify_audit_chain(p_tenant_id, null, null) v)
  ) into v_report
  from counts c;
  -- Nothing to count is an empty object, not null.
  return (
    select jsonb_object_agg(key, case
      when value <> 'null' then value when key = 'access_changes' then '[]' else '{}'
    end) from jsonb_each(v_report)
  );
end
$$;
revoke all on function private.generate_audit_report(uuid, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.generate_audit_report(uuid, timestamptz, timestamptz) to authenticated, service_role;

create function public.generate_audit_report(tenant_id uuid, from_ts timestamptz, to_ts timestamptz) returns jsonb
language sql stable security invoker set search_path = '' set statement_timeout = '10min' as $$ select * from private.generate_audit_report($1, $2, $3) $$;
comment on function public.generate_audit_report(uuid, timestamptz, timestamptz) is
  'A compliance report of [from_ts, to_ts): events by type, action, severity, result, actor and day, failed and security events, changes of access, and whether the chain is intact. Needs audit:read.';
revoke all on function public.generate_audit_report(uuid, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.generate_audit_report(uuid, timestamptz, timestamptz) to authenticated, service_role;

create function private.is_security_event(p_event_type text) returns boolean
language sql immutable set search_path = '' as $$
  select p_event_type ~ '^(security_|api_key_|membership_|tenant_invite_|user_suspension_|rate_limit_exceeded|unauthorized)'
$$;
revoke all on function private.is_security_event(text) from public, anon, authenticated, service_role;


-- Erasing ------------------------------------------------------------------------------------------------------------

-- Personal data goes, with the salts of its hashes; the events and their chain stay.
create function private.erase_audit_personal_data(p_user_id uuid, p_email text) returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_emails text[];
  v_event_ids uuid[];
begin
  perform private.require_platform_admin();
  if num_nonnulls(p_user_id, p_email) = 0 then
    perform private.raise_error(400, 'invalid_request', 'Say whose data to erase: a user, an address or both.');
  end if;
  v_emails := array(
    select lower(p_email) where p_email is not null
    union
    select lower(u.email) from auth.users u where u.id = p_user_id
  );
  with erased as (
    update public.audit_events e set ip_address = null, user_agent = null, personal = null
    where (
        e.actor_id = p_user_id::text
        or e.entity_id = p_user_id::text and e.entity_type = 'user' and e.personal is not null -- the address is the actor's
        or lower(e.personal ->> 'email') = any (v_emails)
      )
      and num_nonnulls(e.ip_address, e.user_agent, e.personal) > 0
    returning e.event_id
  )
  select coalesce(array_agg(event_id), '{}') into v_event_ids from erased;
  update private.audit_unsealed u set personal_salt = null where u.event_id = any (v_event_ids);
  update private.audit_chain c set personal_salt = null where c.event_id = any (v_event_ids);
  perform private.audit(
    null, 'personal_data_erased', 'erased', 'user', p_user_id::text,
    p_metadata => jsonb_build_object('events', cardinality(v_event_ids))
  );
  return cardinality(v_event_ids);
end
$$;
revoke all on function private.erase_audit_personal_data(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.erase_audit_personal_data(uuid, text) to authenticated, service_role;

create function public.erase_audit_personal_data(user_id uuid default null, email text default null) returns bigint
language sql volatile security invoker set search_path = '' set statement_timeout = '10min' as $$ select * from private.erase_audit_personal_data($1, $2) $$;
comment on function public.erase_audit_personal_data(uuid, text) is
  'Erases addresses, user agents and e-mail addresses from the audit events of a user, and says of how many; the chain stays intact. Invites keep their address until they are deleted. Platform admins.';
revoke all on function public.erase_audit_personal_data(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.erase_audit_personal_data(uuid, text) to authenticated, service_role;


-- Forgetting ---------------------------------------------------------------------------------------------------------

create function private.audit_partitions() returns setof private.audit_partition
language plpgsql stable set search_path = '' as $$
begin
  return query
    select p.name, p.starts_at, (p.starts_at at time zone 'UTC' + interval '1 month') at time zone 'UTC'
    from (
      select c.relname, to_date(right(c.relname, 7), 'YYYY"m"MM')::timestamp at time zone 'UTC'
      from pg_catalog.pg_inherits i
      join pg_catalog.pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'public.audit_events'::regclass
    ) as p (name, starts_at)
    order by p.starts_at;
end
$$;
revoke all on function private.audit_partitions() from public, anon, authenticated, service_role;

-- Drops the months that ended longer than p_keep ago, and says how many. A chain then begins with the last of the links
-- that lost their events, which shows that they were so old; the hash before it stays with the head. Passes that seal wait
-- meanwhile; writers do so only for the drop itself, which is last.
create function private.cleanup_old_audit_events(p_keep interval default '2 years') returns int
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC' as $$
declare
  v_names name[];
  v_since timestamptz;
  v_name name;
begin
  if p_keep is null or p_keep < interval '0' then
    perform private.raise_error(400, 'invalid_keep', 'Events are kept for an interval of 0 or more.');
  end if;
  perform private.seal_audit_events();
  select coalesce(array_agg(p.name), '{}'), max(p.ends_at) into v_names, v_since
  from private.audit_partitions() p where p.ends_at <= now() - p_keep;
  if v_since is null then
    return 0;
  end if;

  update private.audit_retention set events_since = greatest(events_since, v_since);
  delete from public.audit_resolutions r where r.occurred_at < v_since;
  update private.audit_heads h set pruned_seq = c.seq, pruned_hash = c.hash
  from (
    select k.tenant_id, coalesce(min(k.seq) filter (where k.occurred_at >= v_since) - 1, max(k.seq)) as last_seq
    from private.audit_chain k
    group by k.tenant_id
  ) l
  join private.audit_chain c on c.tenant_id = l.tenant_id and c.seq = l.last_seq - 1
  where h.tenant_id = c.tenant_id;
  delete from private.audit_chain c using private.audit_heads h
  where h.tenant_id = c.tenant_id and c.seq <= h.pruned_seq;

  perform private.lock_partitioned('public.audit_events');
  foreach v_name in array v_names loop
    execute format('drop table private.%I', v_name);
  end loop;
  return cardinality(v_names);
end
$$;
revoke all on function private.cleanup_old_audit_events(interval) from public, anon, authenticated, service_role;
grant execute on function private.cleanup_old_audit_events(interval) to service_role;

create function public.cleanup_old_audit_events(keep interval default '2 years') returns int
language sql volatile security invoker set search_path = '' set statement_timeout = '10min' as $$ select * from private.cleanup_old_audit_events($1) $$;
comment on function public.cleanup_old_audit_events(interval) is
  'Drops the months of audit events that ended longer ago, and returns how many; what is left stays provable. Service role.';
revoke all on function public.cleanup_old_audit_events(interval) from public, anon, authenticated, service_role;
grant execute on function public.cleanup_old_audit_events(interval) to service_role;
