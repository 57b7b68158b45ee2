-- Quota: how much is left, taken exactly, however many ask at once.
--
-- Windows are UTC calendar windows of the tenant's time; period `none` has one that never ends. A counter is one row per
-- (tenant, metric, period, subject) and rolls in place: the first take of a new window starts it at the amount. A window
-- never rolls back, so a caller whose clock is a moment behind counts into the newer one.
--
-- A metric's windows are taken together or not at all. An unlocked read denies when any is full, so that denials write
-- nothing but their first receipt. Takes are guarded updates, undone together when a later one fails. A counter's first
-- row is inserted only after the update found none: `insert … on conflict do update` would not guard the first insert,
-- and would lock and flush for every denial.
--
-- Order of locks, always: reservation, then counters by (metric, period, subject), then idempotency keys.
--
-- `consume_quota` never records usage, and `record_usage` never takes quota.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.quota_answer as (
  allowed boolean,
  metric text,
  period public.quota_period,
  limit_value bigint,
  used bigint,
  remaining bigint,
  resets_at timestamptz,
  reason text,
  decision_id uuid
);
comment on type public.quota_answer is
  'The answer to a quota question, for the tightest window. A denial is an answer: allowed = false, with its reason.';

create type public.reservation_answer as (
  allowed boolean,
  metric text,
  period public.quota_period,
  limit_value bigint,
  used bigint,
  remaining bigint,
  resets_at timestamptz,
  reason text,
  decision_id uuid,
  reservation_id uuid
);

create type public.quota_band as enum ('ok', 'warning', 'critical');

create type public.quota_status as (
  metric text,
  unit text,
  kind public.metric_kind,
  period public.quota_period,
  per public.quota_scope,
  limit_value bigint,
  used bigint,
  remaining bigint,
  percentage numeric,
  band public.quota_band,
  resets_at timestamptz,
  enforcement public.quota_enforcement,
  is_override boolean
);

-- One window of a metric as a caller meets it. `cap` is what `used` may not pass: the hard limit, or the largest integer
-- that JavaScript holds exactly.
create type private.quota_window as (
  period public.quota_period,
  subject text,
  limit_value bigint,
  cap bigint,
  enforcement public.quota_enforcement,
  is_override boolean,
  window_start timestamptz,
  used bigint
);

-- The outcome of a take: the answer, and the windows as they were left.
create type private.quota_take as (answer public.quota_answer, windows private.quota_window[]);


create table private.quota_counters (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  period public.quota_period not null,
  subject text not null,
  window_start timestamptz not null,
  used bigint not null,
  primary key (tenant_id, metric, period, subject),
  constraint quota_counters_used_not_negative check (used >= 0),
  constraint quota_counters_used_exact_in_json check (used <= 9007199254740991)
) with (fillfactor = 50);
comment on table private.quota_counters is 'What is used of each window, live reservations included.';

create table private.quota_reservations (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  subject text not null,
  amount bigint not null,
  windows private.quota_window[] not null,
  status text not null default 'open',
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  constraint quota_reservations_amount_positive check (amount > 0),
  constraint quota_reservations_status_known check (status in ('open', 'settled', 'released', 'expired')),
  constraint quota_reservations_dated_when_closed check ((status = 'open') = (closed_at is null))
);
comment on table private.quota_reservations is 'Quota taken for work under way. The id is what authorises to settle it, so it is never listed.';
create index quota_reservations_by_tenant on private.quota_reservations (tenant_id);
create index quota_reservations_open on private.quota_reservations (expires_at) where status = 'open';
create index quota_reservations_closed on private.quota_reservations (closed_at) where status <> 'open';

create table private.quota_grants (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  idempotency_key text not null,
  metric text not null,
  amount bigint not null,
  subject text not null,
  answer public.reservation_answer not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, idempotency_key)
);
comment on table private.quota_grants is 'Grants by idempotency key, for 48 hours: the same request again gets the same answer and takes nothing.';
create index quota_grants_by_age on private.quota_grants using brin (created_at);

create table public.quota_decisions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  period public.quota_period not null,
  subject text not null,
  amount bigint not null,
  allowed boolean not null,
  reason text,
  limit_value bigint,
  used bigint not null,
  window_start timestamptz not null,
  windows jsonb not null,
  plan_id text not null,
  batch_id bigint,
  created_at timestamptz not null default now()
);
comment on table public.quota_decisions is 'Receipts: what a denial saw. The first with given counters writes one, later ones return it; kept 30 days.';
comment on column public.quota_decisions.created_at is 'In the tenant''s time, as window_start is.';
comment on column public.quota_decisions.batch_id is 'The batch by which the roll-ups count it, see the usage domain; null where they do not.';
comment on column public.quota_decisions.windows is 'Every window consulted: period, subject, limit_value, enforcement, is_override, window_start, used.';
alter table public.quota_decisions enable row level security;
revoke all on public.quota_decisions from anon, authenticated, service_role;
grant select on public.quota_decisions to authenticated, service_role;
create policy members_read_quota_decisions on public.quota_decisions for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create unique index quota_decisions_one_per_sight on public.quota_decisions
  (tenant_id, metric, period, subject, window_start, used, limit_value) nulls not distinct where not allowed;
create index quota_decisions_by_tenant on public.quota_decisions (tenant_id, created_at desc);
create index quota_decisions_by_age on public.quota_decisions using brin (created_at);
create index quota_decisions_by_batch on public.quota_decisions (batch_id) where batch_id is not null;


-- Windows ------------------------------------------------------------------------------------------------------------

create function private.window_start(p_period public.quota_period, p_at timestamptz) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_period = 'none' then '-infinity' else date_trunc(p_period::text, p_at, 'UTC') end;
end
$$;
revoke all on function private.window_start(public.quota_period, timestamptz)
  from public, anon, authenticated, service_role;

-- When a window that starts then ends; null for one that never does.
create function private.window_end(p_period public.quota_period, p_start timestamptz) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  return case p_period
    when 'minute' then p_start + interval '1 minute'
    when 'hour' then p_start + interval '1 hour'
    when 'day' then p_start + interval '24 hours'
    when 'month' then (p_start at time zone 'UTC' + interval '1 month') at time zone 'UTC'
  end;
end
$$;
revoke all on function private.window_end(public.quota_period, timestamptz)
  from public, anon, authenticated, service_role;

-- The windows of a metric for one subject, in the order in which they are locked. Where a limit of the tenant and one of
-- the subject '' meet on one counter, the tighter holds.
create function private.quota_windows(p_tenant_id uuid, p_metric text, p_subject text, p_at timestamptz)
returns private.quota_window[]
language plpgsql stable security definer set search_path = '' as $$
begin
  return array(
    select distinct on (e.period, s.subject)
      row(
        e.period, s.subject, e.limit_value,
        case when e.enforcement = 'hard' then coalesce(e.limit_value, 9007199254740991) else 9007199254740991 end,
        e.enforcement, e.is_override,
        greatest(c.window_start, s.window_start),
        case when c.window_start >= s.window_start then c.used else 0 end
      )::private.quota_window
    from public.entitlements e
    cross join lateral (
      select case e.per when 'subject' then p_subject else '' end, private.window_start(e.period, p_at)
    ) as s (subject, window_start)
    left join private.quota_counters c
      on c.tenant_id = p_tenant_id and c.metric = e.metric and c.period = e.period and c.subject = s.subject
    where e.tenant_id = p_tenant_id and e.metric = p_metric
    order by e.period, s.subject, case e.enforcement when 'hard' then e.limit_value end, e.limit_value
  );
end
$$;
revoke all on function private.quota_windows(uuid, text, text, timestamptz)
  from public, anon, authenticated, service_role;

-- The window that an answer speaks of: for a grant, the one with the least left; for a denial, the full one that stays
-- full the longest, so that its end is when asking again makes sense.
create function private.tightest_window(p_windows private.quota_window[], p_amount bigint, p_allowed boolean)
returns private.quota_window
language plpgsql immutable set search_path = '' as $$
declare
  v_window private.quota_window;
begin
  select w.* into v_window
  from unnest(p_windows) w
  where p_allowed or w.used + p_amount > w.cap
  order by
    case when p_allowed then w.limit_value - w.used end nulls last,
    private.window_end(w.period, w.window_start) desc nulls first
  limit 1;
  return v_window;
end
$$;
revoke all on function private.tightest_window(private.quota_window[], bigint, boolean)
  from public, anon, authenticated, service_role;

-- What is left of a limit; null when there is none.
create function private.quota_remaining(p_limit_value bigint, p_used bigint) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_limit_value is not null then greatest(p_limit_value - p_used, 0) end;
end
$$;
revoke all on function private.quota_remaining(bigint, bigint) from public, anon, authenticated, service_role;

create function private.quota_answer(p_metric text, p_window private.quota_window, p_allowed boolean)
returns public.quota_answer
language plpgsql immutable set search_path = '' as $$
declare
  v_answer public.quota_answer;
begin
  v_answer.allowed := p_allowed;
  v_answer.metric := p_metric;
  v_answer.period := p_window.period;
  v_answer.limit_value := p_window.limit_value;
  v_answer.used := p_window.used;
  v_answer.remaining := private.quota_remaining(p_window.limit_value, p_window.used);
  v_answer.resets_at := private.window_end(p_window.period, p_window.window_start);
  v_answer.reason := case
    when not p_allowed then case p_window.limit_value when 0 then 'not_included' else 'quota_exceeded' end
    when p_window.enforcement = 'soft' and p_window.used > p_window.limit_value then 'soft_limit_exceeded'
  end;
  return v_answer;
end
$$;
revoke all on function private.quota_answer(text, private.quota_window, boolean)
  from public, anon, authenticated, service_role;

-- What every question checks first: the tenant's time, that the metric is known, that the amount is one.
create function private.check_quota_request(p_tenant_id uuid, p_permission text, p_metric text, p_amount bigint)
returns timestamptz
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_permission(p_tenant_id, p_permission);
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_amount', 'An amount is an integer from 1 to 9007199254740991.');
  end if;
  if not exists (select from public.metrics where id = p_metric) then
    perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
  end if;
  return private.tenant_now(p_tenant_id);
end
$$;
revoke all on function private.check_quota_request(uuid, text, text, bigint)
  from public, anon, authenticated, service_role;


-- Taking and giving back ---------------------------------------------------------------------------------------------

-- Adds p_amount to windows that were taken, or takes it off them. What a rolled window had is not given back, and what is
-- added counts in the window of now.
create function private.adjust_quota(
  p_tenant_id uuid, p_metric text, p_windows private.quota_window[], p_amount bigint, p_at timestamptz
) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_window private.quota_window;
  v_start timestamptz;
begin
  foreach v_window in array p_windows loop
    if p_amount < 0 then
      update private.quota_counters c
      set used = greatest(c.used + p_amount, 0)
      where c.tenant_id = p_tenant_id and c.metric = p_metric
        and c.period = v_window.period and c.subject = v_window.subject
        and c.window_start = v_window.window_start;
    elsif p_amount > 0 then
      v_start := greatest(private.window_start(v_window.period, p_at), v_window.window_start);
      update private.quota_counters c
      set used = least(case when c.window_start < v_start then p_amount else c.used + p_amount end, 9007199254740991),
          window_start = greatest(c.window_start, v_start)
      where c.tenant_id = p_tenant_id and c.metric = p_metric
        and c.period = v_window.period and c.subject = v_window.subject;
    end if;
  end loop;
end
$$;
revoke all on function private.adjust_quota(uuid, text, private.quota_window[], bigint, timestamptz)
  from public, anon, authenticated, service_role;

-- The receipt of a denial by p_window: written by the first that sees these counters.
create function private.record_denial(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_reason text,
  p_window private.quota_window, p_windows private.quota_window[], p_at timestamptz
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_id uuid;
begin
  for v_attempt in 1..2 loop
    select d.id into v_id
    from public.quota_decisions d
    where d.tenant_id = p_tenant_id and d.metric = p_metric and d.period = p_window.period
      and d.subject = p_window.subject and d.window_start = p_window.window_start
      and d.used = p_window.used and d.limit_value is not distinct from p_window.limit_value and not d.allowed;
    exit when found;

    insert into public.quota_decisions (
      tenant_id, metric, period, subject, amount, allowed, reason, limit_value, used, window_start, windows, plan_id,
      batch_id, created_at
    )
    select p_tenant_id, p_metric, p_window.period, p_window.subject, p_amount, false, p_reason,
      p_window.limit_value, p_window.used, p_window.window_start,
      (select jsonb_agg(to_jsonb(w) - 'cap') from unnest(p_windows) w), t.plan_id,
      case when p_metric = 'tokens' then private.add_usage_batch(p_tenant_id, p_at) end, p_at
    from public.tenants t where t.id = p_tenant_id
    on conflict do nothing
    returning id into v_id;
    exit when found;
  end loop;
  return v_id;
end
$$;
revoke all on function private.record_denial(
  uuid, text, bigint, text, private.quota_window, private.quota_window[], timestamptz
) from public, anon, authenticated, service_role;

-- Takes an amount from every window of a metric, or from none.
create function private.take_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_at timestamptz
) returns private.quota_take
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_windows private.quota_window[];
  v_taken private.quota_window[];
  v_window private.quota_window;
  v_used bigint;
  v_start timestamptz;
  v_allowed boolean;
  v_take private.quota_take;
begin
  -- Again when room came back between a failed take and the look that a denial is made from.
  for v_round in 1..20 loop
    v_windows := private.quota_windows(p_tenant_id, p_metric, p_subject, p_at);
    v_allowed := not exists (select from unnest(v_windows) w where w.used + p_amount > w.cap);
    exit when not v_allowed;

    v_taken := array[]::private.quota_window[];
    foreach v_window in array v_windows loop
      for v_attempt in 1..2 loop
        update private.quota_counters c
        set used = case when c.window_start < v_window.window_start then p_amount else c.used + p_amount end,
            window_start = greatest(c.window_start, v_window.window_start)
        where c.tenant_id = p_tenant_id and c.metric = p_metric
          and c.period = v_window.period and c.subject = v_window.subject
          and case when c.window_start < v_window.window_start then p_amount else c.used + p_amount end <= v_window.cap
        returning c.used, c.window_start into v_used, v_start;
        exit when found;

        insert into private.quota_counters as c (tenant_id, metric, period, subject, window_start, used)
        values (p_tenant_id, p_metric, v_window.period, v_window.subject, v_window.window_start, p_amount)
        on conflict do nothing
        returning c.used, c.window_start into v_used, v_start;
        exit when found;
      end loop;

      v_allowed := v_used is not null;
      exit when not v_allowed;
      v_window.used := v_used;
      v_window.window_start := v_start;
      v_taken := v_taken || v_window;
    end loop;
    exit when v_allowed;
    perform private.adjust_quota(p_tenant_id, p_metric, v_taken, -p_amount, p_at);
  end loop;
  if not v_allowed and not exists (select from unnest(v_windows) w where w.used + p_amount > w.cap) then
    perform private.raise_error(503, 'quota_contended', 'The quota changes faster than it can be read; try again.');
  end if;

  v_take.windows := case when v_allowed then v_taken else v_windows end;
  v_window := private.tightest_window(v_take.windows, p_amount, v_allowed);
  v_take.answer := private.quota_answer(p_metric, v_window, v_allowed);
  if not v_allowed then
    v_take.answer.decision_id := private.record_denial(
      p_tenant_id, p_metric, p_amount, (v_take.answer).reason, v_window, v_windows, p_at
    );
  end if;
  return v_take;
end
$$;
revoke all on function private.take_quota(uuid, text, bigint, text, timestamptz)
  from public, anon, authenticated, service_role;

-- The stored answer of a grant, or null. PT409 when the key was used for another request.
create function private.find_grant(
  p_tenant_id uuid, p_key text, p_metric text, p_amount bigint, p_subject text, p_is_reservation boolean
) returns public.reservation_answer
language plpgsql stable security definer set search_path = '' as $$
declare
  v_grant private.quota_grants;
begin
  if char_length(p_key) not between 1 and 255 then
    perform private.raise_error(400, 'invalid_idempotency_key', 'An idempotency key has 1 to 255 characters.');
  end if;
  select * into v_grant from private.quota_grants where tenant_id = p_tenant_id and idempotency_key = p_key;
  if not found then
    return null;
  end if;
  if (v_grant.metric, v_grant.amount, v_grant.subject, (v_grant.answer).reservation_id is not null)
    is distinct from (p_metric, p_amount, p_subject, p_is_reservation)
  then
    perform private.raise_error(409, 'idempotency_key_reused', 'This idempotency key was used for another request.');
  end if;
  return v_grant.answer;
end
$$;
revoke all on function private.find_grant(uuid, text, text, bigint, text, boolean)
  from public, anon, authenticated, service_role;

-- What consume_quota and reserve_quota share: a take, once per idempotency key. With p_ttl_seconds it is held as a
-- reservation.
create function private.grant_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_key text, p_ttl_seconds int, p_at timestamptz
) returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_is_reservation boolean := p_ttl_seconds is not null;
  v_replay public.reservation_answer;
  v_take private.quota_take;
  v_answer public.reservation_answer;
begin
  if p_key is not null then
    v_replay := private.find_grant(p_tenant_id, p_key, p_metric, p_amount, p_subject, v_is_reservation);
    if v_replay.allowed then
      return v_replay;
    end if;
  end if;

  v_take := private.take_quota(p_tenant_id, p_metric, p_amount, p_subject, p_at);
  v_answer := row((v_take.answer).*, null::uuid);
  if v_answer.allowed and v_is_reservation then
    insert into private.quota_reservations (tenant_id, metric, subject, amount, windows, expires_at)
    values (p_tenant_id, p_metric, p_subject, p_amount, v_take.windows, p_at + make_interval(secs => p_ttl_seconds))
    returning id into v_answer.reservation_id;
  end if;
  if p_key is null then
    return v_answer;
  end if;

  if v_answer.allowed then
    insert into private.quota_grants (tenant_id, idempotency_key, metric, amount, subject, answer)
    values (p_tenant_id, p_key, p_metric, p_amount, p_subject, v_answer)
    on conflict do nothing;
    if found then
      return v_answer;
    end if;
    -- The same request was granted while this one waited for the counter: undo, and answer as it was answered.
    perform private.adjust_quota(p_tenant_id, p_metric, v_take.windows, -p_amount, p_at);
    delete from private.quota_reservations where id = v_answer.reservation_id;
  end if;
  v_replay := private.find_grant(p_tenant_id, p_key, p_metric, p_amount, p_subject, v_is_reservation);
  return case when v_replay.allowed then v_replay else v_answer end;
end
$$;
revoke all on function private.grant_quota(uuid, text, bigint, text, text, int, timestamptz)
  from public, anon, authenticated, service_role;


-- consume_quota ------------------------------------------------------------------------------------------------------

create function private.consume_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_key text
) returns public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_at timestamptz := private.check_quota_request(p_tenant_id, 'usage:write', p_metric, p_amount);
  v_subject text := private.resolve_subject(p_subject);
  v_granted public.reservation_answer;
  v_answer public.quota_answer;
begin
  -- A rate counter may lose a moment's counting in a crash, and then need not wait for the disk. Only when this call is
  -- the whole transaction, so that nothing else commits that way.
  if p_key is null
    and current_setting('request.path', true) = '/rpc/consume_quota'
    and not exists (
      select from public.entitlements e
      where e.tenant_id = p_tenant_id and e.metric = p_metric and e.period not in ('minute', 'hour')
    )
  then
    perform set_config('synchronous_commit', 'off', true);
  end if;

  v_granted := private.grant_quota(p_tenant_id, p_metric, p_amount, v_subject, p_key, null, v_at);
  v_answer := row(
    v_granted.allowed, v_granted.metric, v_granted.period, v_granted.limit_value, v_granted.used,
    v_granted.remaining, v_granted.resets_at, v_granted.reason, v_granted.decision_id
  );
  return v_answer;
end
$$;
revoke all on function private.consume_quota(uuid, text, bigint, text, text)
  from public, anon, authenticated, service_role;
grant execute on function private.consume_quota(uuid, text, bigint, text, text) to authenticated, service_role;

create function public.consume_quota(
  tenant_id uuid, metric text, amount bigint default 1, subject text default null, idempotency_key text default null
) returns setof public.quota_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.consume_quota($1, $2, $3, $4, $5) $$;
comment on function public.consume_quota(uuid, text, bigint, text, text) is
  'Takes an amount of a metric''s quota and returns the decision for the tightest window. Needs usage:write.';
revoke all on function public.consume_quota(uuid, text, bigint, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.consume_quota(uuid, text, bigint, text, text) to authenticated, service_role;


-- check_tenant_quota -------------------------------------------------------------------------------------------------

create function private.check_tenant_quota(p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text)
returns public.quota_answer
language plpgsql stable security definer set search_path = '' as $$
declare
  v_at timestamptz := private.check_quota_request(p_tenant_id, 'usage:read', p_metric, p_amount);
  v_windows private.quota_window[] :=
    private.quota_windows(p_tenant_id, p_metric, private.resolve_subject(p_subject), v_at);
  v_allowed boolean := not exists (select from unnest(v_windows) w where w.used + p_amount > w.cap);
begin
  return private.quota_answer(p_metric, private.tightest_window(v_windows, p_amount, v_allowed), v_allowed);
end
$$;
revoke all on function private.check_tenant_quota(uuid, text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function private.check_tenant_quota(uuid, text, bigint, text) to authenticated, service_role;

create function public.check_tenant_quota(
  tenant_id uuid, metric text, amount bigint default 1, subject text default null
) returns setof public.quota_answer
language sql stable security invoker set search_path = '' as $$ select * from private.check_tenant_quota($1, $2, $3, $4) $$;
comment on function public.check_tenant_quota(uuid, text, bigint, text) is
  'What consume_quota would answer, taking nothing: used and remaining are as they stand. Needs usage:read.';
revoke all on function public.check_tenant_quota(uuid, text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function public.check_tenant_quota(uuid, text, bigint, text) to authenticated, service_role;


-- Reservations -------------------------------------------------------------------------------------------------------

create function private.reserve_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_ttl_seconds int, p_key text
) returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_at timestamptz := private.check_quota_request(p_tenant_id, 'usage:write', p_metric, p_amount);
begin
  if p_ttl_seconds is null or p_ttl_seconds not between 1 and 86400 then
    perform private.raise_error(400, 'invalid_ttl', 'A reservation is held for 1 to 86400 seconds.');
  end if;
  return private.grant_quota(
    p_tenant_id, p_metric, p_amount, private.resolve_subject(p_subject), p_key, p_ttl_seconds, v_at
  );
end
$$;
revoke all on function private.reserve_quota(uuid, text, bigint, text, int, text)
  from public, anon, authenticated, service_role;
grant execute on function private.reserve_quota(uuid, text, bigint, text, int, text) to authenticated, service_role;

create function public.reserve_quota(
  tenant_id uuid, metric text, amount bigint, subject text default null, ttl_seconds int default 300,
  idempotency_key text default null
) returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.reserve_quota($1, $2, $3, $4, $5, $6) $$;
comment on function public.reserve_quota(uuid, text, bigint, text, int, text) is
  'Takes an amount for work whose real amount is known later; settle or release it by its reservation_id. Needs usage:write.';
revoke all on function public.reserve_quota(uuid, text, bigint, text, int, text)
  from public, anon, authenticated, service_role;
grant execute on function public.reserve_quota(uuid, text, bigint, text, int, text) to authenticated, service_role;

-- Ends an open reservation as p_status with p_actual really used, and returns where its metric stands then.
create function private.close_reservation(p_id uuid, p_status text, p_actual bigint, p_event jsonb)
returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_reservation private.quota_reservations;
  v_at timestamptz;
  v_windows private.quota_window[];
  v_answer public.quota_answer;
begin
  select * into v_reservation from private.quota_reservations where id = p_id for update;
  if not found then
    perform private.raise_error(404, 'reservation_not_found', 'There is no such reservation.');
  end if;
  if v_reservation.status <> 'open' then
    perform private.raise_error(
      409, 'reservation_' || v_reservation.status, format('This reservation is %s already.', v_reservation.status)
    );
  end if;
  v_at := private.tenant_now(v_reservation.tenant_id);

  update private.quota_reservations set status = p_status, closed_at = now() where id = p_id;
  perform private.adjust_quota(
    v_reservation.tenant_id, v_reservation.metric, v_reservation.windows, p_actual - v_reservation.amount, v_at
  );
  if p_event is not null then
    perform private.record_one_event(v_reservation.tenant_id, v_reservation.subject, p_event, v_at);
  end if;

  v_windows := private.quota_windows(v_reservation.tenant_id, v_reservation.metric, v_reservation.subject, v_at);
  v_answer := private.quota_answer(v_reservation.metric, private.tightest_window(v_windows, 0, true), true);
  return row((v_answer).*, p_id);
end
$$;
revoke all on function private.close_reservation(uuid, text, bigint, jsonb)
  from public, anon, authenticated, service_role;

create function private.settle_reservation(p_id uuid, p_actual bigint, p_event jsonb)
returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_actual is null or p_actual not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_amount', 'A settled amount is an integer from 0 to 9007199254740991.');
  end if;
  return private.close_reservation(p_id, 'settled', p_actual, p_event);
end
$$;
revoke all on function private.settle_reservation(uuid, bigint, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function private.settle_reservation(uuid, bigint, jsonb) to anon, authenticated, service_role;

create function public.settle_reservation(reservation_id uuid, actual_amount bigint, event jsonb default null)
returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.settle_reservation($1, $2, $3) $$;
comment on function public.settle_reservation(uuid, bigint, jsonb) is
  'Ends a reservation with what was really used, less or more than reserved, and records its usage event with it. The id authorises.';
revoke all on function public.settle_reservation(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.settle_reservation(uuid, bigint, jsonb) to anon, authenticated, service_role;

create function private.release_reservation(p_id uuid) returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
begin
  return private.close_reservation(p_id, 'released', 0, null);
end
$$;
revoke all on function private.release_reservation(uuid) from public, anon, authenticated, service_role;
grant execute on function private.release_reservation(uuid) to anon, authenticated, service_role;

create function public.release_reservation(reservation_id uuid) returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.release_reservation($1) $$;
comment on function public.release_reservation(uuid) is 'Gives a reservation back unused. The id authorises.';
revoke all on function public.release_reservation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.release_reservation(uuid) to anon, authenticated, service_role;


-- Status and overrides -----------------------------------------------------------------------------------------------

-- 75 % and 90 % both lie in the warning band.
create function private.quota_band(p_percentage numeric) returns public.quota_band
language sql immutable set search_path = '' as $$
  select case when p_percentage > 90 then 'critical' when p_percentage >= 75 then 'warning' else 'ok' end::public.quota_band
$$;
revoke all on function private.quota_band(numeric) from public, anon, authenticated, service_role;

create function private.get_quota_status(p_tenant_id uuid) returns setof public.quota_status
language plpgsql stable security definer set search_path = '' as $$
declare
  v_at timestamptz;
  v_subject text := private.resolve_subject(null);
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  v_at := private.tenant_now(p_tenant_id);
  return query
    select e.metric, m.unit, m.kind, e.period, e.per, e.limit_value, u.used,
      private.quota_remaining(e.limit_value, u.used),
      round(p.percentage, 2), private.quota_band(p.percentage),
      private.window_end(e.period, u.window_start), e.enforcement, e.is_override
    from public.entitlements e
    join public.metrics m on m.id = e.metric
    left join private.quota_counters c
      on c.tenant_id = p_tenant_id and c.metric = e.metric and c.period = e.period
      and c.subject = case e.per when 'subject' then v_subject else '' end
    cross join lateral (select private.window_start(e.period, v_at)) as s (window_start)
    cross join lateral (
      select case when c.window_start >= s.window_start then c.used else 0 end, greatest(c.window_start, s.window_start)
    ) as u (used, window_start)
    cross join lateral (
      select case when e.limit_value = 0 then 100 else 100.0 * u.used / e.limit_value end
    ) as p (percentage)
    where e.tenant_id = p_tenant_id
    order by e.metric, e.period, e.per;
end
$$;
revoke all on function private.get_quota_status(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_quota_status(uuid) to authenticated, service_role;

create function public.get_quota_status(tenant_id uuid) returns setof public.quota_status
language sql stable security invoker set search_path = '' as $$ select * from private.get_quota_status($1) $$;
comment on function public.get_quota_status(uuid) is
  'Every entitlement with used, remaining, percentage and band (ok, warning from 75 %, critical above 90 %); limits of each subject are those of the caller. Needs usage:read.';
revoke all on function public.get_quota_status(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_quota_status(uuid) to authenticated, service_role;

-- Overrides the plan's limit of a period, or adds a window that it lacks. An override counts for whom the plan's limit
-- does; one of a new window for the whole tenant.
create function private.set_custom_quota(
  p_tenant_id uuid, p_metric text, p_limit_value bigint, p_period public.quota_period
) returns public.tenant_limits
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_period public.quota_period := p_period;
  v_per public.quota_scope;
  v_limit public.tenant_limits;
begin
  perform private.require_platform_admin();
  perform private.tenant_now(p_tenant_id); -- PT404 unless the tenant exists
  if p_limit_value not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_limit', 'A limit is an integer from 0 to 9007199254740991, or null for none.');
  end if;
  if v_period is null then
    select default_period into v_period from public.metrics where id = p_metric;
  end if;
  if not exists (select from public.metrics where id = p_metric) then
    perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
  end if;
  select l.per into v_per
  from public.tenants t join public.plan_limits l on l.plan_id = t.plan_id
  where t.id = p_tenant_id and l.metric = p_metric and l.period = v_period
  order by l.per limit 1;

  insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
  values (p_tenant_id, p_metric, v_period, coalesce(v_per, 'tenant'), p_limit_value)
  on conflict on constraint tenant_limits_pkey do update set limit_value = excluded.limit_value
  returning * into v_limit;
  return v_limit;
end
$$;
revoke all on function private.set_custom_quota(uuid, text, bigint, public.quota_period)
  from public, anon, authenticated, service_role;
grant execute on function private.set_custom_quota(uuid, text, bigint, public.quota_period) to authenticated, service_role;

create function public.set_custom_quota(
  tenant_id uuid, metric text, limit_value bigint, period public.quota_period default null
) returns setof public.tenant_limits
language sql volatile security invoker set search_path = '' as $$ select * from private.set_custom_quota($1, $2, $3, $4) $$;
comment on function public.set_custom_quota(uuid, text, bigint, public.quota_period) is
  'Sets one tenant''s own limit (null: unlimited) of a period (null: the metric''s default) and returns it. Platform admins.';
revoke all on function public.set_custom_quota(uuid, text, bigint, public.quota_period)
  from public, anon, authenticated, service_role;
grant execute on function public.set_custom_quota(uuid, text, bigint, public.quota_period) to authenticated, service_role;


-- Retention ----------------------------------------------------------------------------------------------------------

-- Deletes what has served its time: idempotency keys and closed reservations after 48 hours, receipts after 30 days, and
-- by whole days as usage events are, so that usage can be recomputed from both.
create function private.prune_quota() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from private.quota_grants where created_at < now() - interval '48 hours';
  delete from private.quota_reservations where status <> 'open' and closed_at < now() - interval '48 hours';
  delete from public.quota_decisions d
  where d.created_at < date_trunc('day', now() - interval '30 days', 'UTC')
    and not exists (select from private.usage_batches b where b.batch_id = d.batch_id);
end
$$;
revoke all on function private.prune_quota() from public, anon, authenticated, service_role;
