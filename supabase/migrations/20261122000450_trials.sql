-- Trials: a tenant on a plan with trial days is on trial until `trial_ends_at`, in its own time, and then moves to free.
--
-- created (create_tenant) → extended → upgraded | expired | cancelled; each is an audit event of that name. Whatever else
-- changes a plan ends the trial as well, or begins one.

set lock_timeout = '5s';
set statement_timeout = '60s';

create function private.begin_or_end_trial() returns trigger
language plpgsql stable security definer set search_path = '' as $$
begin
  if new.plan_id <> old.plan_id and new.trial_ends_at is not distinct from old.trial_ends_at then
    select now() + new.clock_offset + make_interval(days => p.trial_days) into new.trial_ends_at
    from public.billing_plans p where p.id = new.plan_id;
  end if;
  return new;
end
$$;
revoke all on function private.begin_or_end_trial() from public, anon, authenticated, service_role;
create trigger begin_or_end_trial before update of plan_id on public.tenants
  for each row execute function private.begin_or_end_trial();

create function private.require_trial(p_tenant public.tenants) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if p_tenant.trial_ends_at is null then
    perform private.raise_error(409, 'not_on_trial', 'The tenant is not on trial.');
  end if;
end
$$;
revoke all on function private.require_trial(public.tenants) from public, anon, authenticated, service_role;

-- Moves a tenant, whose row is locked, to another plan, and records how.
create function private.change_plan(p_tenant public.tenants, p_plan_id text, p_event text, p_metadata jsonb default '{}')
returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
begin
  if not exists (select from public.billing_plans p where p.id = p_plan_id) then
    perform private.raise_error(404, 'plan_not_found', format('There is no plan "%s".', p_plan_id));
  end if;
  update public.tenants t set plan_id = p_plan_id where t.id = p_tenant.id returning * into v_tenant;
  perform private.audit(
    p_tenant.id, p_event, split_part(p_event, '_', 2), 'tenant', p_tenant.id::text,
    jsonb_build_object('plan_id', p_tenant.plan_id, 'trial_ends_at', p_tenant.trial_ends_at),
    jsonb_build_object('plan_id', v_tenant.plan_id, 'trial_ends_at', v_tenant.trial_ends_at),
    p_metadata => p_metadata
  );
  return v_tenant;
end
$$;
revoke all on function private.change_plan(public.tenants, text, text, jsonb) from public, anon, authenticated, service_role;

-- Puts a tenant on a plan, as an operator.
create function private.set_tenant_plan(p_tenant_id uuid, p_plan_id text) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
begin
  perform private.require_platform_admin();
  v_tenant := private.lock_tenant(p_tenant_id, 'billing:write');
  if v_tenant.plan_id = p_plan_id then
    return v_tenant;
  end if;
  return private.change_plan(
    v_tenant, p_plan_id, case
      when exists (select from public.billing_plans p where p.id = p_plan_id and p.trial_days > 0) then 'trial_created'
      when v_tenant.trial_ends_at is null then 'plan_changed'
      when p_plan_id = 'free' then 'trial_cancelled'
      else 'trial_upgraded'
    end
  );
end
$$;
revoke all on function private.set_tenant_plan(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.set_tenant_plan(uuid, text) to authenticated, service_role;

create function public.set_tenant_plan(tenant_id uuid, plan_id text) returns public.tenants
language sql volatile security invoker set search_path = '' as $$ select * from private.set_tenant_plan($1, $2) $$;
comment on function public.set_tenant_plan(uuid, text) is
  'Puts a tenant on a plan, which upgrades a trial; a plan with trial days begins one. Platform admins.';
revoke all on function public.set_tenant_plan(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.set_tenant_plan(uuid, text) to authenticated, service_role;

create function private.extend_trial(p_tenant_id uuid, p_days int) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_before public.tenants;
  v_tenant public.tenants;
begin
  perform private.require_platform_admin();
  if p_days is null or p_days not between 1 and 365 then
    perform private.raise_error(400, 'invalid_days', 'A trial is extended by 1 to 365 days.');
  end if;
  v_before := private.lock_tenant(p_tenant_id, 'billing:write');
  perform private.require_trial(v_before);
  update public.tenants t set trial_ends_at = t.trial_ends_at + make_interval(days => p_days)
  where t.id = p_tenant_id
  returning * into v_tenant;
  perform private.audit(
    p_tenant_id, 'trial_extended', 'extended', 'tenant', p_tenant_id::text,
    jsonb_build_object('trial_ends_at', v_before.trial_ends_at),
    jsonb_build_object('trial_ends_at', v_tenant.trial_ends_at),
    p_metadata => jsonb_build_object('days', p_days)
  );
  return v_tenant;
end
$$;
revoke all on function private.extend_trial(uuid, int) from public, anon, authenticated, service_role;
grant execute on function private.extend_trial(uuid, int) to authenticated, service_role;

create function public.extend_trial(tenant_id uuid, days int) returns public.tenants
language sql volatile security invoker set search_path = '' as $$ select * from private.extend_trial($1, $2) $$;
comment on function public.extend_trial(uuid, int) is 'Lets a trial end so many days (1 to 365) later. Platform admins.';
revoke all on function public.extend_trial(uuid, int) from public, anon, authenticated, service_role;
grant execute on function public.extend_trial(uuid, int) to authenticated, service_role;

create function private.cancel_trial(p_tenant_id uuid, p_reason text) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants := private.lock_tenant(p_tenant_id, 'billing:write');
begin
  if char_length(p_reason) > 1000 then
    perform private.raise_error(400, 'invalid_reason', 'A reason has at most 1,000 characters.');
  end if;
  perform private.require_trial(v_tenant);
  return private.change_plan(v_tenant, 'free', 'trial_cancelled', jsonb_build_object('reason', p_reason));
end
$$;
revoke all on function private.cancel_trial(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_trial(uuid, text) to authenticated, service_role;

create function public.cancel_trial(tenant_id uuid, reason text default null) returns public.tenants
language sql volatile security invoker set search_path = '' as $$ select * from private.cancel_trial($1, $2) $$;
comment on function public.cancel_trial(uuid, text) is 'Ends a trial at once and moves its tenant to free. Needs billing:write.';
revoke all on function public.cancel_trial(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_trial(uuid, text) to authenticated, service_role;

-- Moves every tenant whose trial is over to free, and says how many.
create function private.expire_trials() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
  v_expired int := 0;
begin
  for v_tenant in
    select * from public.tenants t
    where t.trial_ends_at <= now() + t.clock_offset
    order by t.id
    for no key update skip locked
  loop
    perform private.change_plan(v_tenant, 'free', 'trial_expired');
    v_expired := v_expired + 1;
  end loop;
  return v_expired;
end
$$;
revoke all on function private.expire_trials() from public, anon, authenticated, service_role;
