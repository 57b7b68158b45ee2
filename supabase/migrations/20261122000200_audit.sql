-- Audit: who did what, to what, and how it ended. Append-only, partitioned by month.
--
-- No foreign keys, so that everything can be audited from the start and outlives what it speaks of. Times are the real
-- `now()`, never a tenant's test clock.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.audit_actor as enum ('system', 'admin', 'tenant', 'visitor', 'api_key');
create type public.audit_severity as enum ('info', 'warning', 'error', 'critical');
create type public.audit_result as enum ('success', 'failure', 'partial');

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
  primary key (event_id, occurred_at)
) partition by range (occurred_at);
comment on table public.audit_events is 'What was done: append-only, a partition a month. Written by private.audit alone.';
comment on column public.audit_events.actor_id is 'User id, API key id, or the database role of the system.';

alter table public.audit_events enable row level security;

revoke all on public.audit_events from anon, authenticated, service_role;
grant select on public.audit_events to authenticated, service_role;

create index audit_events_by_tenant on public.audit_events (tenant_id, occurred_at desc);


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
  p_metadata jsonb default '{}'
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_headers jsonb := coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  v_actor public.audit_actor;
  v_event_id uuid;
begin
  v_actor := (case
    when private.is_trusted() then 'system'
    when private.api_key_id() is not null then 'api_key'
    when auth.uid() is null then 'visitor'
    when private.is_platform_admin() then 'admin'
    else 'tenant'
  end)::public.audit_actor;
  perform private.ensure_audit_partitions(0);

  insert into public.audit_events (
    tenant_id, event_type, action, entity_type, entity_id, actor_type, actor_id, severity, result,
    old_values, new_values, user_agent, request_id, metadata
  ) values (
    p_tenant_id, p_event_type, p_action, p_entity_type, p_entity_id, v_actor,
    case v_actor
      when 'system' then coalesce(nullif(current_setting('role'), 'none'), session_user)
      when 'api_key' then private.api_key_id()::text
      else auth.uid()::text
    end,
    p_severity, p_result, p_old_values, p_new_values,
    v_headers ->> 'user-agent', v_headers ->> 'x-request-id', p_metadata
  )
  returning event_id into v_event_id;
  return v_event_id;
end
$$;
revoke all on function private.audit(
  uuid, text, text, text, text, jsonb, jsonb, public.audit_severity, public.audit_result, jsonb
) from public, anon, authenticated, service_role;


-- Trigger for tables whose changes matter: `private.audit_change('<entity type>', '<column of its id>')`. The tenant is
-- the row's tenant_id; a tenant's own row is its own. A change of nothing but updated_at is none.
create function private.audit_change() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_entity_type text := tg_argv[0];
  v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - 'updated_at' end;
  v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - 'updated_at' end;
  v_row jsonb := coalesce(v_new, v_old);
  v_action text := case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' else 'deleted' end;
begin
  if v_old is distinct from v_new then
    perform private.audit(
      (v_row ->> case v_entity_type when 'tenant' then 'id' else 'tenant_id' end)::uuid,
      v_entity_type || '_' || v_action, v_action, v_entity_type, v_row ->> tg_argv[1], v_old, v_new
    );
  end if;
  return null;
end
$$;
revoke all on function private.audit_change() from public, anon, authenticated, service_role;
