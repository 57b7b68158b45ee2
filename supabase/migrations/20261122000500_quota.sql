-- Quota: how much is left, taken exactly, however many ask at once.
--
-- Windows are UTC calendar windows of the tenant's time; period `none` has one that never ends. A counter is one row per
-- (tenant, metric, period, subject) and rolls in place: the first take of a new window starts it at the amount. A window
-- never rolls back, so a caller whose clock is a moment behind counts into the newer one.
--
-- A metric's windows are taken together or not at all. An unlocked read denies when any is full, so that a denial locks
-- no counter. Takes are guarded updates, undone together when a later one fails; from then on the counters are locked
-- before they are read. A counter's first row is inserted only after the update found none: `insert … on conflict do
-- update` would not guard the first insert, and would lock and flush for every denial.
--
-- A gauge counts what exists: its counters of period `none`, of the tenant and of the subject, are kept without a limit
-- too, so that a plan which brings one finds them right.
--
-- What is asked for together (consume_quota_batch) is answered as if it had been asked for one after the other.
--
-- Order of locks, always: reservations by id; then, metric by metric and tenant by tenant, counters by (period, subject),
-- alerts of thresholds, receipts, idempotency keys by key. What takes for several subjects of a metric locks their counters in that order first.
--
-- What crosses a threshold of an alert rule in a tenant's day or month opens the alert in the same transaction; a take pays
-- one comparison for it, with the counter's `next_threshold`.
--
-- `consume_quota` never records usage, and `record_usage` never takes quota; the metering domain does both at once.

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
  is_override boolean,
  overage bigint
);
comment on type public.quota_status is
  'One entitlement and where it stands. overage is what is used beyond the limit: of a soft one, or by settling more than was reserved.';

create type public.quota_checks as (metric text, allowed bigint, denied bigint);

create type public.rate_limit_usage as (
  tenant_id uuid,
  tier text,
  requests bigint,
  requests_remaining bigint,
  requests_reset_at timestamptz,
  analysis_runs bigint,
  analysis_runs_remaining bigint,
  analysis_runs_reset_at timestamptz
);

create type public.quota_explanation as (
  decision_id uuid,
  tenant_id uuid,
  allowed boolean,
  reason text,
  metric text,
  period public.quota_period,
  subject text,
  amount bigint,
  limit_value bigint,
  used bigint,
  remaining bigint,
  resets_at timestamptz,
  plan_id text,
  is_override boolean,
  windows jsonb,
  decided_at timestamptz,
  explanation text
);
comment on type public.quota_explanation is
  'A receipt, told: the window that decided, all windows consulted, the plan then in force, and one sentence.';

-- One window of a metric as a caller meets it. `cap` is what `used` may not pass: the hard limit, or the largest integer
-- that JavaScript holds exactly. `sample_rate` is the metric's.
create type private.quota_window as (
  period public.quota_period,
  subject text,
  limit_value bigint,
  cap bigint,
  enforcement public.quota_enforcement,
  is_override boolean,
  window_start timestamptz,
  used bigint,
  sample_rate real
);

-- The outcome of a take: an answer for each amount, what was taken in all and from which windows, as it left them, the
-- windows that the last denial saw, and whether nothing was written that a crash may not lose.
create type private.quota_take as (
  answers public.quota_answer[],
  taken bigint,
  windows private.quota_window[],
  denied_by private.quota_window[],
  is_loss_tolerable boolean
);

-- A denial, and whether its receipt was written for it.
create type private.quota_denial as (answer public.quota_answer, is_new boolean);

-- What a reservation holds in one window.
create type private.quota_hold as (period public.quota_period, subject text, window_start timestamptz, amount bigint);


create table private.quota_counters (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  period public.quota_period not null,
  subject text not null,
  window_start timestamptz not null,
  used bigint not null,
  allowed bigint not null default 0,
  next_threshold numeric default 0,
  primary key (tenant_id, metric, period, subject),
  -- One constraint, since each is parsed anew by every update.
  constraint quota_counters_used_exact_in_json check (used between 0 and 9007199254740991)
) with (fillfactor = 50);
comment on table private.quota_counters is 'What is used of each window, live reservations included.';
comment on column private.quota_counters.allowed is
  'Grants since ever. Each is counted in the first of its windows alone, so that the sum over a metric is exact.';
comment on column private.quota_counters.next_threshold is
  'The percentage of its limit at which an alert rule of the tenant has to be looked at next; 0 when none was yet, null when none is left.';

create table private.quota_denials (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  source int not null,
  denied bigint not null,
  primary key (tenant_id, metric, source)
) with (fillfactor = 50);
comment on table private.quota_denials is 'Denials since ever, of limited metrics; the sum over a metric is exact.';
comment on column private.quota_denials.source is
  'The process id of the session that counts, so that none waits for another; 0 for what has been folded together.';

create table private.quota_reservations (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null,
  subject text not null,
  amount bigint not null,
  spent bigint not null default 0,
  holds private.quota_hold[] not null,
  event jsonb,
  ttl interval not null,
  expires_at timestamptz not null,
  status text not null default 'open',
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  constraint quota_reservations_spent_of_amount check (spent between 0 and amount and amount > 0),
  constraint quota_reservations_status_known check (status in ('open', 'settled', 'released', 'expired')),
  constraint quota_reservations_dated_when_closed check ((status = 'open') = (closed_at is null))
);
comment on table private.quota_reservations is 'Quota taken for work under way. The id is what authorises to settle it, so it is never listed.';
comment on column private.quota_reservations.spent is 'What an extension declared used: it is not given back when the rest expires.';
comment on column private.quota_reservations.event is 'The usage event to record when it ends without another.';
comment on column private.quota_reservations.expires_at is 'In the tenant''s time.';
create index quota_reservations_by_tenant on private.quota_reservations (tenant_id, metric, status);
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
create index quota_grants_by_age on private.quota_grants (created_at);

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
  is_first boolean not null default false,
  batch_id bigint,
  created_at timestamptz not null default now()
);
comment on table public.quota_decisions is
  'Receipts: what a denial saw; the first with given counters writes one, later ones return it. Of grants, those that cross a soft limit, and samples. Kept 30 days.';
comment on column public.quota_decisions.is_first is 'The first denial of its window, which is audited.';
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
create unique index quota_decisions_one_first_of_window on public.quota_decisions
  (tenant_id, metric, period, subject, window_start) where is_first;
create index quota_decisions_by_tenant on public.quota_decisions (tenant_id, created_at desc);
create index quota_decisions_by_age on public.quota_decisions (created_at);
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

-- The windows of a metric for one subject, in the order in which they are locked; PT404 for an unknown metric or tenant.
-- Where a limit of the tenant and one of the subject '' meet on one counter, the tighter holds.
create function private.quota_windows(p_tenant_id uuid, p_metric text, p_subject text) returns private.quota_window[]
language plpgsql stable security definer set search_path = '' as $$
declare
  v_windows private.quota_window[];
begin
  v_windows := array(
    select distinct on (e.period, s.subject)
      row(
        e.period, s.subject, e.limit_value,
        case when e.enforcement = 'hard' then coalesce(e.limit_value, 9007199254740991) else 9007199254740991 end,
        e.enforcement, e.is_override,
        greatest(c.window_start, s.window_start),
        case when c.window_start >= s.window_start then c.used else 0 end,
        m.receipt_sample_rate
      )::private.quota_window
    from public.tenants t
    join public.metrics m on m.id = p_metric
    cross join lateral (
      select l.period, l.per, l.limit_value, l.enforcement, l.is_override
      from public.entitlements l
      where l.tenant_id = p_tenant_id and l.metric = p_metric
      union all
      select 'none', g.per, null, 'hard', false
      from unnest(enum_range(null::public.quota_scope)) g (per)
      where m.kind = 'gauge'
    ) e
    cross join lateral (
      select case e.per when 'subject' then p_subject else '' end,
        private.window_start(e.period, now() + t.clock_offset)
    ) as s (subject, window_start)
    left join private.quota_counters c
      on c.tenant_id = p_tenant_id and c.metric = p_metric and c.period = e.period and c.subject = s.subject
    where t.id = p_tenant_id
    order by e.period, s.subject, case e.enforcement when 'hard' then e.limit_value end, e.limit_value
  );
  if cardinality(v_windows) = 0 then
    perform private.tenant_now(p_tenant_id);
    if not exists (select from public.metrics where id = p_metric) then
      perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
    end if;
  end if;
  return v_windows;
end
$$;
revoke all on function private.quota_windows(uuid, text, text) from public, anon, authenticated, service_role;

-- The window that an answer speaks of: for a grant, the one with the least left; for a denial, the full one that stays
-- full the longest, so that its end is when asking again makes sense.
create function private.tightest_window(p_windows private.quota_window[], p_amount bigint, p_allowed boolean)
returns private.quota_window
language plpgsql immutable set search_path = '' as $$
declare
  v_window private.quota_window;
begin
  if cardinality(p_windows) = 1 then
    return p_windows[1];
  end if;
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
begin
  return row(
    p_allowed, p_metric, p_window.period, p_window.limit_value, p_window.used,
    private.quota_remaining(p_window.limit_value, p_window.used),
    private.window_end(p_window.period, p_window.window_start),
    case
      when not p_allowed then case p_window.limit_value when 0 then 'not_included' else 'quota_exceeded' end
      when p_window.enforcement = 'soft' and p_window.used > p_window.limit_value then 'soft_limit_exceeded'
    end,
    null::uuid
  );
end
$$;
revoke all on function private.quota_answer(text, private.quota_window, boolean)
  from public, anon, authenticated, service_role;

-- Whom the caller asks for; PT403 unless it has the permission.
create function private.quota_subject(p_tenant_id uuid, p_permission text, p_subject text) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.is_trusted() then
    perform private.require_permission(p_tenant_id, p_permission);
  end if;
  return private.resolve_subject(p_subject);
end
$$;
revoke all on function private.quota_subject(uuid, text, text) from public, anon, authenticated, service_role;

-- The same for a take. What a table counts is not for members to take besides.
create function private.taking_subject(p_tenant_id uuid, p_metric text, p_subject text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  v_subject text := private.quota_subject(p_tenant_id, 'usage:write', p_subject);
begin
  if not private.is_trusted() then
    perform private.refuse_counted(p_metric, 403);
  end if;
  return v_subject;
end
$$;
revoke all on function private.taking_subject(uuid, text, text) from public, anon, authenticated, service_role;

-- PT400 unless every amount is one that can be taken.
create function private.check_amounts(p_amounts bigint[]) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_amount bigint;
begin
  foreach v_amount in array p_amounts loop
    if v_amount is null or v_amount not between 1 and 9007199254740991 then
      perform private.raise_error(400, 'invalid_amount', 'An amount is an integer from 1 to 9007199254740991.');
    end if;
  end loop;
end
$$;
revoke all on function private.check_amounts(bigint[]) from public, anon, authenticated, service_role;


-- Receipts -----------------------------------------------------------------------------------------------------------

-- Windows as a receipt keeps them.
create function private.windows_seen(p_windows private.quota_window[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return (select jsonb_agg(to_jsonb(w) - 'cap' - 'sample_rate') from unnest(p_windows) w);
end
$$;
revoke all on function private.windows_seen(private.quota_window[]) from public, anon, authenticated, service_role;

-- Writes one for the window that decided, unless there is one like it; null then.
create function private.write_receipt(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_answer public.quota_answer,
  p_window private.quota_window, p_windows private.quota_window[], p_is_first boolean
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_at timestamptz := private.tenant_now(p_tenant_id);
  v_id uuid;
begin
  insert into public.quota_decisions (
    tenant_id, metric, period, subject, amount, allowed, reason, limit_value, used, window_start, windows, plan_id,
    is_first, batch_id, created_at
  )
  select p_tenant_id, p_metric, p_window.period, p_window.subject, p_amount, p_answer.allowed, p_answer.reason,
    p_window.limit_value, p_window.used, p_window.window_start,
    private.windows_seen(p_windows), t.plan_id, p_is_first,
    case when not p_answer.allowed and p_metric = 'tokens' then private.add_usage_batch(p_tenant_id, v_at) end, v_at
  from public.tenants t where t.id = p_tenant_id
  on conflict do nothing
  returning id into v_id;
  return v_id;
end
$$;
revoke all on function private.write_receipt(
  uuid, text, bigint, public.quota_answer, private.quota_window, private.quota_window[], boolean
) from public, anon, authenticated, service_role;

-- The answer to an amount that p_windows have no room for. Its receipt is written by the first that sees these counters;
-- the first of a window is audited.
create function private.deny_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_windows private.quota_window[]
) returns private.quota_denial
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_window private.quota_window := private.tightest_window(p_windows, p_amount, false);
  v_id uuid;
  v_is_first boolean;
  v_denial private.quota_denial;
begin
  v_denial.answer := private.quota_answer(p_metric, v_window, false);
  v_denial.is_new := false;
  for v_attempt in 1..3 loop
    select d.id into v_id
    from public.quota_decisions d
    where d.tenant_id = p_tenant_id and d.metric = p_metric and d.period = v_window.period
      and d.subject = v_window.subject and d.window_start = v_window.window_start
      and d.used = v_window.used and d.limit_value is not distinct from v_window.limit_value and not d.allowed;
    exit when found;

    -- A rival may have written it meanwhile, or been the first of the window.
    v_is_first := not exists (
      select from public.quota_decisions d
      where d.tenant_id = p_tenant_id and d.metric = p_metric and d.period = v_window.period
        and d.subject = v_window.subject and d.window_start = v_window.window_start and d.is_first
    );
    v_id := private.write_receipt(p_tenant_id, p_metric, p_amount, v_denial.answer, v_window, p_windows, v_is_first);
    if v_id is null then
      continue;
    end if;
    v_denial.is_new := true;
    if v_is_first then
      perform private.audit(
        p_tenant_id,
        case when v_window.subject <> '' or v_window.period in ('minute', 'hour') then 'rate_limit_exceeded' else 'quota_exceeded' end,
        'denied', 'metric', p_metric, null,
        jsonb_build_object(
          'period', v_window.period, 'subject', v_window.subject, 'limit', v_window.limit_value, 'used', v_window.used
        ),
        'warning', 'failure', jsonb_build_object('decision_id', v_id)
      );
    end if;
    exit;
  end loop;
  v_denial.answer.decision_id := v_id;
  return v_denial;
end
$$;
revoke all on function private.deny_quota(uuid, text, bigint, private.quota_window[])
  from public, anon, authenticated, service_role;

-- Counts denials in a row that no other session writes.
create function private.count_denials(p_tenant_id uuid, p_metric text, p_denied bigint) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update private.quota_denials d set denied = d.denied + p_denied
  where d.tenant_id = p_tenant_id and d.metric = p_metric and d.source = pg_backend_pid();
  if not found then
    insert into private.quota_denials (tenant_id, metric, source, denied)
    select t.id, p_metric, pg_backend_pid(), p_denied from public.tenants t where t.id = p_tenant_id;
  end if;
end
$$;
revoke all on function private.count_denials(uuid, text, bigint) from public, anon, authenticated, service_role;

-- Adds the sessions' rows up, so that they do not become many. Those in use wait for the next time.
create function private.fold_quota_denials() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  with folded as (
    delete from private.quota_denials d
    where (d.tenant_id, d.metric, d.source) in (
      select s.tenant_id, s.metric, s.source from private.quota_denials s where s.source <> 0
      for update skip locked limit 100000
    )
    returning d.tenant_id, d.metric, d.denied
  )
  insert into private.quota_denials as d (tenant_id, metric, source, denied)
  select f.tenant_id, f.metric, 0, sum(f.denied) from folded f group by 1, 2 order by 1, 2
  on conflict (tenant_id, metric, source) do update set denied = d.denied + excluded.denied;
end
$$;
revoke all on function private.fold_quota_denials() from public, anon, authenticated, service_role;


-- Taking and giving back ---------------------------------------------------------------------------------------------

-- Locks the counters of several subjects in the order of all locks; makes those that there are not yet.
create function private.lock_counters(p_tenant_id uuid, p_metric text, p_subjects text[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into private.quota_counters as c (tenant_id, metric, period, subject, window_start, used)
  select distinct p_tenant_id, p_metric, w.period, w.subject, w.window_start, 0
  from unnest(p_subjects) s
  cross join lateral unnest(private.quota_windows(p_tenant_id, p_metric, s)) w
  order by w.period, w.subject
  on conflict on constraint quota_counters_pkey do update set used = c.used where false;
end
$$;
revoke all on function private.lock_counters(uuid, text, text[]) from public, anon, authenticated, service_role;

-- Adds to windows whatever their limits, and counts none of it as a grant.
create function private.add_quota(p_tenant_id uuid, p_metric text, p_windows private.quota_window[], p_amount bigint)
returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into private.quota_counters as c (tenant_id, metric, period, subject, window_start, used)
  select p_tenant_id, p_metric, w.period, w.subject, w.window_start, p_amount
  from unnest(p_windows) w
  order by w.period, w.subject
  on conflict on constraint quota_counters_pkey do update set
    used = least(
      case when c.window_start < excluded.window_start then excluded.used else c.used + excluded.used end,
      9007199254740991
    ),
    window_start = greatest(c.window_start, excluded.window_start),
    next_threshold = case when c.window_start < excluded.window_start then 0 else c.next_threshold end;
  perform private.cross_thresholds(p_tenant_id, p_metric, array(
    select w.period
    from unnest(p_windows) w
    join private.quota_counters c
      on c.tenant_id = p_tenant_id and c.metric = p_metric and c.period = w.period and c.subject = w.subject
    where w.subject = '' and w.period in ('day', 'month') and w.limit_value > 0
      and 100.0 * c.used >= w.limit_value * c.next_threshold
  ));
end
$$;
revoke all on function private.add_quota(uuid, text, private.quota_window[], bigint)
  from public, anon, authenticated, service_role;

-- Takes p_amount off windows, at most what is held of each; a window that has rolled gets nothing back. p_grants are no
-- longer counted as such.
create function private.give_back(
  p_tenant_id uuid, p_metric text, p_holds private.quota_hold[], p_amount bigint, p_grants int default 0
) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_hold private.quota_hold;
begin
  foreach v_hold in array p_holds loop
    update private.quota_counters c
    set used = case
          when c.window_start = v_hold.window_start then greatest(c.used - least(p_amount, v_hold.amount), 0)
          else c.used
        end,
        allowed = c.allowed - p_grants
    where c.tenant_id = p_tenant_id and c.metric = p_metric and c.period = v_hold.period and c.subject = v_hold.subject
      and (p_grants > 0 or c.window_start = v_hold.window_start);
    p_grants := 0; -- counted in the first window alone
  end loop;
end
$$;
revoke all on function private.give_back(uuid, text, private.quota_hold[], bigint, int)
  from public, anon, authenticated, service_role;

-- The part that p_amount has in windows.
create function private.quota_holds(p_windows private.quota_window[], p_amount bigint) returns private.quota_hold[]
language plpgsql immutable set search_path = '' as $$
begin
  return array(select row(w.period, w.subject, w.window_start, p_amount)::private.quota_hold from unnest(p_windows) w);
end
$$;
revoke all on function private.quota_holds(private.quota_window[], bigint) from public, anon, authenticated, service_role;

-- Windows when p_amount more is used.
create function private.windows_after(p_windows private.quota_window[], p_amount bigint) returns private.quota_window[]
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_amount = 0 then p_windows else array(
    select row(
      w.period, w.subject, w.limit_value, w.cap, w.enforcement, w.is_override, w.window_start, w.used + p_amount, w.sample_rate
    )::private.quota_window
    from unnest(p_windows) w
  ) end;
end
$$;
revoke all on function private.windows_after(private.quota_window[], bigint) from public, anon, authenticated, service_role;

-- Completes a take: answers each amount as if it had been asked for by itself. p_seen are the windows that were looked at,
-- p_room what they had left.
create function private.answer_amounts(
  p_tenant_id uuid, p_metric text, p_amounts bigint[], p_seen private.quota_window[], p_room bigint,
  p_take private.quota_take
) returns private.quota_take
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tightest private.quota_window := private.tightest_window(p_take.windows, 0, true);
  v_window private.quota_window;
  v_amount bigint;
  v_running bigint := 0;
  v_denials int := 0;
  v_denial private.quota_denial;
  v_denied_amount bigint;
  v_answer public.quota_answer;
begin
  p_take.is_loss_tolerable := true;
  foreach v_window in array p_take.windows loop
    p_take.is_loss_tolerable := p_take.is_loss_tolerable and v_window.period in ('minute', 'hour');
  end loop;
  foreach v_amount in array p_amounts loop
    if v_amount <= p_room - v_running then
      v_running := v_running + v_amount;
      v_window := v_tightest;
      v_window.used := v_tightest.used - p_take.taken + v_running;
      v_answer := private.quota_answer(p_metric, v_window, true);
      if (v_answer.reason is not null and v_window.used - v_amount <= v_window.limit_value)
        or (v_window.sample_rate > 0 and random() < v_window.sample_rate)
      then
        v_answer.decision_id := private.write_receipt(
          p_tenant_id, p_metric, v_amount, v_answer, v_window,
          private.windows_after(p_take.windows, v_running - p_take.taken), false
        );
        p_take.is_loss_tolerable := false;
      end if;
      v_denied_amount := null;
    else
      v_denials := v_denials + 1;
      if v_amount is distinct from v_denied_amount then
        -- By the windows as they were looked at: others may have given back since, and then nothing would be full.
        p_take.denied_by := private.windows_after(p_seen, v_running);
        v_denial := private.deny_quota(p_tenant_id, p_metric, v_amount, p_take.denied_by);
        v_denied_amount := v_amount;
        p_take.is_loss_tolerable := p_take.is_loss_tolerable and not v_denial.is_new;
      end if;
      v_answer := v_denial.answer;
    end if;
    p_take.answers := p_take.answers || v_answer;
  end loop;
  if v_denials > 0 then
    perform private.count_denials(p_tenant_id, p_metric, v_denials);
  end if;
  return p_take;
end
$$;
revoke all on function private.answer_amounts(
  uuid, text, bigint[], private.quota_window[], bigint, private.quota_take
) from public, anon, authenticated, service_role;

-- Takes amounts for one subject, as many as fit, in order: each from every window of the metric, or from none.
create function private.take_quota(p_tenant_id uuid, p_metric text, p_subject text, p_amounts bigint[])
returns private.quota_take
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_windows private.quota_window[];
  v_window private.quota_window;
  v_room bigint;
  v_amount bigint;
  v_grants int;
  v_used bigint;
  v_start timestamptz;
  v_next_threshold numeric;
  v_crossed public.quota_period[];
  v_is_taken boolean;
  v_take private.quota_take;
begin
  for v_round in 1..10 loop
    if v_round > 1 then
      perform private.lock_counters(p_tenant_id, p_metric, array[p_subject]);
    end if;
    v_windows := private.quota_windows(p_tenant_id, p_metric, p_subject);
    v_room := 9223372036854775807; -- without a window, nothing is counted
    foreach v_window in array v_windows loop
      v_room := least(v_room, v_window.cap - v_window.used);
    end loop;
    v_take.taken := 0;
    v_grants := 0;
    foreach v_amount in array p_amounts loop
      if v_amount <= v_room - v_take.taken then
        v_take.taken := v_take.taken + v_amount;
        v_grants := v_grants + 1;
      end if;
    end loop;
    v_take.windows := array[]::private.quota_window[];
    v_crossed := array[]::public.quota_period[];
    v_is_taken := true;
    exit when v_grants = 0;

    foreach v_window in array v_windows loop
      for v_attempt in 1..2 loop
        update private.quota_counters c
        set used = case when c.window_start < v_window.window_start then v_take.taken else c.used + v_take.taken end,
            window_start = greatest(c.window_start, v_window.window_start),
            allowed = c.allowed + case when cardinality(v_take.windows) = 0 then v_grants else 0 end,
            next_threshold = case when c.window_start < v_window.window_start then 0 else c.next_threshold end
        where c.tenant_id = p_tenant_id and c.metric = p_metric
          and c.period = v_window.period and c.subject = v_window.subject
          and case when c.window_start < v_window.window_start then v_take.taken else c.used + v_take.taken end <= v_window.cap
        returning c.used, c.window_start, c.next_threshold into v_used, v_start, v_next_threshold;
        exit when found;

        insert into private.quota_counters as c (tenant_id, metric, period, subject, window_start, used, allowed)
        values (
          p_tenant_id, p_metric, v_window.period, v_window.subject, v_window.window_start, v_take.taken,
          case when cardinality(v_take.windows) = 0 then v_grants else 0 end
        )
        on conflict do nothing
        returning c.used, c.window_start, c.next_threshold into v_used, v_start, v_next_threshold;
        exit when found;
      end loop;

      v_is_taken := v_used is not null;
      exit when not v_is_taken;
      v_window.used := v_used;
      v_window.window_start := v_start;
      v_take.windows := v_take.windows || v_window;
      if v_window.period in ('day', 'month') and v_window.subject = '' and v_window.limit_value > 0
        and 100.0 * v_used >= v_window.limit_value * v_next_threshold
      then
        v_crossed := v_crossed || v_window.period;
      end if;
    end loop;
    exit when v_is_taken;
    perform private.give_back(
      p_tenant_id, p_metric, private.quota_holds(v_take.windows, v_take.taken), v_take.taken, v_grants
    );
  end loop;
  if not v_is_taken then
    perform private.raise_error(503, 'quota_contended', 'The quota changes faster than it can be read; try again.');
  end if;
  if cardinality(v_crossed) > 0 then
    perform private.cross_thresholds(p_tenant_id, p_metric, v_crossed);
  end if;

  return private.answer_amounts(p_tenant_id, p_metric, p_amounts, v_windows, v_room, v_take);
end
$$;
revoke all on function private.take_quota(uuid, text, text, bigint[]) from public, anon, authenticated, service_role;

-- A call may commit without waiting for the disk when it is the whole transaction, so that nothing else commits that way,
-- and all that a crash can lose is a moment's counting of denials, or in windows of a minute or an hour.
create function private.commit_lightly(p_is_loss_tolerable boolean) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if p_is_loss_tolerable
    and current_setting('request.path', true)
      in ('/rpc/consume_quota', '/rpc/consume_quota_batch', '/rpc/consume_quota_batches', '/rpc/count_request')
  then
    perform set_config('synchronous_commit', 'off', true);
  end if;
end
$$;
revoke all on function private.commit_lightly(boolean) from public, anon, authenticated, service_role;

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

-- Takes amounts, each once per idempotency key (null: none), as many as fit, in order. With p_ttl each is held as a
-- reservation.
create function private.grant_quota(
  p_tenant_id uuid, p_metric text, p_subject text, p_amounts bigint[], p_keys text[], p_ttl interval default null,
  p_event jsonb default null
) returns public.reservation_answer[]
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_is_reservation boolean := p_ttl is not null;
  v_answers public.reservation_answer[] := array_fill(null::public.reservation_answer, array[cardinality(p_amounts)]);
  v_answer public.reservation_answer;
  v_replay public.reservation_answer;
  v_wanted int[] := array[]::int[];
  v_keys text[] := array[]::text[];
  v_take private.quota_take;
  v_item record;
  v_holds private.quota_hold[];
begin
  for v_i in 1..cardinality(p_amounts) loop
    if p_keys[v_i] is not null then
      v_replay := private.find_grant(
        p_tenant_id, p_keys[v_i], p_metric, p_amounts[v_i], p_subject, v_is_reservation
      );
      v_answers[v_i] := v_replay;
      if p_amounts[v_i] <> p_amounts[array_position(p_keys, p_keys[v_i])] then
        perform private.raise_error(409, 'idempotency_key_reused', 'This idempotency key was used for another request.');
      end if;
      continue when v_replay.allowed or p_keys[v_i] = any (v_keys);
      v_keys := v_keys || p_keys[v_i];
    end if;
    v_wanted := v_wanted || v_i;
  end loop;
  if cardinality(v_wanted) > 0 then
    v_take := private.take_quota(
      p_tenant_id, p_metric, p_subject, array(select p_amounts[w] from unnest(v_wanted) w)
    );
  end if;

  -- In key order: two calls with the same keys would otherwise wait for each other.
  for v_item in
    select w.i, v_take.answers[w.ordinal] as answer, p_amounts[w.i] as amount, p_keys[w.i] as key
    from unnest(v_wanted) with ordinality w (i, ordinal)
    order by p_keys[w.i], w.i
  loop
    v_answer := row((v_item.answer).*, null::uuid);
    if v_answer.allowed then
      v_holds := private.quota_holds(v_take.windows, v_item.amount);
      if v_is_reservation then
        insert into private.quota_reservations (tenant_id, metric, subject, amount, holds, event, ttl, expires_at)
        values (
          p_tenant_id, p_metric, p_subject, v_item.amount, v_holds, p_event, p_ttl,
          private.tenant_now(p_tenant_id) + p_ttl
        )
        returning id into v_answer.reservation_id;
      end if;
      if v_item.key is not null then
        insert into private.quota_grants (tenant_id, idempotency_key, metric, amount, subject, answer)
        values (p_tenant_id, v_item.key, p_metric, v_item.amount, p_subject, v_answer)
        on conflict do nothing;
        if not found then
          -- The same request was granted while this one waited for the counter: undo, and answer as it was answered.
          perform private.give_back(p_tenant_id, p_metric, v_holds, v_item.amount, 1);
          delete from private.quota_reservations where id = v_answer.reservation_id;
          v_answer := private.find_grant(
            p_tenant_id, v_item.key, p_metric, v_item.amount, p_subject, v_is_reservation
          );
        end if;
      end if;
    elsif v_item.key is not null then
      v_replay := private.find_grant(p_tenant_id, v_item.key, p_metric, v_item.amount, p_subject, v_is_reservation);
      if v_replay.allowed then
        v_answer := v_replay;
      end if;
    end if;
    v_answers[v_item.i] := v_answer;
  end loop;

  -- A key that came twice in this call.
  for v_i in 1..cardinality(p_amounts) loop
    if (v_answers[v_i]).allowed is null then
      v_replay := private.find_grant(p_tenant_id, p_keys[v_i], p_metric, p_amounts[v_i], p_subject, v_is_reservation);
      v_answers[v_i] := case when v_replay.allowed then v_replay else v_answers[array_position(p_keys, p_keys[v_i])] end;
    end if;
  end loop;
  return v_answers;
end
$$;
revoke all on function private.grant_quota(uuid, text, text, bigint[], text[], interval, jsonb)
  from public, anon, authenticated, service_role;

create function private.without_reservation(p_answer public.reservation_answer) returns public.quota_answer
language plpgsql immutable set search_path = '' as $$
begin
  return row(
    p_answer.allowed, p_answer.metric, p_answer.period, p_answer.limit_value, p_answer.used, p_answer.remaining,
    p_answer.resets_at, p_answer.reason, p_answer.decision_id
  );
end
$$;
revoke all on function private.without_reservation(public.reservation_answer) from public, anon, authenticated, service_role;


-- consume_quota and its forms for many -------------------------------------------------------------------------------

create function private.consume_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_key text
) returns public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_subject text := private.taking_subject(p_tenant_id, p_metric, p_subject);
  v_take private.quota_take;
begin
  perform private.check_amounts(array[p_amount]);
  if p_key is not null then
    return private.without_reservation(
      (private.grant_quota(p_tenant_id, p_metric, v_subject, array[p_amount], array[p_key]))[1]
    );
  end if;
  v_take := private.take_quota(p_tenant_id, p_metric, v_subject, array[p_amount]);
  perform private.commit_lightly(v_take.is_loss_tolerable);
  return v_take.answers[1];
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

create function private.count_request(p_tenant_id uuid) returns public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_subject text := private.quota_subject(p_tenant_id, 'usage:read', null);
  v_take private.quota_take;
begin
  v_take := private.take_quota(p_tenant_id, 'api_calls', v_subject, array[1]);
  perform private.commit_lightly(v_take.is_loss_tolerable);
  return v_take.answers[1];
end
$$;
revoke all on function private.count_request(uuid) from public, anon, authenticated, service_role;
grant execute on function private.count_request(uuid) to authenticated, service_role;

create function public.count_request(tenant_id uuid) returns setof public.quota_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.count_request($1) $$;
comment on function public.count_request(uuid) is
  'Counts one request of the caller against the rate limit (api_calls) and returns the decision. Needs usage:read, as a request that only reads is one, too.';
revoke all on function public.count_request(uuid) from public, anon, authenticated, service_role;
grant execute on function public.count_request(uuid) to authenticated, service_role;

-- One group of a batch: the amounts that are asked for one subject of one metric.
create type private.quota_batch as (
  index bigint,
  tenant_id uuid,
  metric text,
  subject text,
  amounts bigint[],
  keys text[]
);

-- Answers every amount of every group, in their order.
create function private.consume_batches(p_batches private.quota_batch[]) returns setof public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_group record;
  v_batch private.quota_batch;
  v_take private.quota_take;
  v_takes private.quota_take[] := array[]::private.quota_take[];
  v_is_loss_tolerable boolean := true;
begin
  if (select coalesce(sum(cardinality(b.amounts)), 0) from unnest(p_batches) b) not between 1 and 1000
    or exists (
      select from unnest(p_batches) b
      where array_dims(b.amounts) is distinct from format('[1:%s]', cardinality(b.amounts))
        or array_dims(b.keys) <> array_dims(b.amounts) or cardinality(b.keys) = 0
    )
  then
    perform private.raise_error(
      400, 'invalid_batch', 'A batch has 1 to 1000 amounts, and an idempotency key or null for each, or none at all.'
    );
  end if;
  perform private.check_amounts(b.amounts) from unnest(p_batches) b;
  for v_group in
    select b.tenant_id, b.metric, array_agg(b order by b.subject, b.index) as batches, array_agg(distinct b.subject) as subjects
    from unnest(p_batches) b group by b.metric, b.tenant_id order by b.metric, b.tenant_id
  loop
    if cardinality(v_group.subjects) > 1 then
      perform private.lock_counters(v_group.tenant_id, v_group.metric, v_group.subjects);
    end if;
    foreach v_batch in array v_group.batches loop
      if v_batch.keys is null then
        v_take := private.take_quota(v_batch.tenant_id, v_batch.metric, v_batch.subject, v_batch.amounts);
        v_is_loss_tolerable := v_is_loss_tolerable and v_take.is_loss_tolerable;
      else
        v_take.answers := array(
          select private.without_reservation(a) from unnest(private.grant_quota(
            v_batch.tenant_id, v_batch.metric, v_batch.subject, v_batch.amounts, v_batch.keys
          )) a
        );
        v_is_loss_tolerable := false;
      end if;
      v_takes[v_batch.index] := v_take;
    end loop;
  end loop;
  perform private.commit_lightly(v_is_loss_tolerable);
  foreach v_take in array v_takes loop
    return query select * from unnest(v_take.answers);
  end loop;
end
$$;
revoke all on function private.consume_batches(private.quota_batch[]) from public, anon, authenticated, service_role;

create function private.consume_quota_batch(
  p_tenant_id uuid, p_metric text, p_amounts bigint[], p_subject text, p_keys text[]
) returns setof public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_subject text := private.taking_subject(p_tenant_id, p_metric, p_subject);
begin
  return query select * from private.consume_batches(
    array[row(1, p_tenant_id, p_metric, v_subject, p_amounts, p_keys)::private.quota_batch]
  );
end
$$;
revoke all on function private.consume_quota_batch(uuid, text, bigint[], text, text[])
  from public, anon, authenticated, service_role;
grant execute on function private.consume_quota_batch(uuid, text, bigint[], text, text[]) to authenticated, service_role;

create function public.consume_quota_batch(
  tenant_id uuid, metric text, amounts bigint[], subject text default null, idempotency_keys text[] default null
) returns setof public.quota_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.consume_quota_batch($1, $2, $3, $4, $5) $$;
comment on function public.consume_quota_batch(uuid, text, bigint[], text, text[]) is
  'Takes up to 1000 amounts, as many as fit, in order, and returns a decision for each, as consume_quota would one after the other. Needs usage:write.';
revoke all on function public.consume_quota_batch(uuid, text, bigint[], text, text[])
  from public, anon, authenticated, service_role;
grant execute on function public.consume_quota_batch(uuid, text, bigint[], text, text[]) to authenticated, service_role;

create function private.consume_quota_batches(p_batches jsonb) returns setof public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_batches is null or jsonb_typeof(p_batches) <> 'array' then
    perform private.raise_error(400, 'invalid_batch', 'Batches are a JSON array of objects.');
  end if;
  return query select * from private.consume_batches(array(
    select row(
      b.index, b.tenant_id, b.metric, private.taking_subject(b.tenant_id, b.metric, b.subject), b.amounts,
      b.idempotency_keys
    )::private.quota_batch
    from rows from (
      jsonb_to_recordset(p_batches)
        as (tenant_id uuid, metric text, amounts bigint[], subject text, idempotency_keys text[])
    ) with ordinality b (tenant_id, metric, amounts, subject, idempotency_keys, index)
  ));
end
$$;
revoke all on function private.consume_quota_batches(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.consume_quota_batches(jsonb) to authenticated, service_role;

create function public.consume_quota_batches(batches jsonb) returns setof public.quota_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.consume_quota_batches($1) $$;
comment on function public.consume_quota_batches(jsonb) is
  'consume_quota_batch for several tenants, metrics or subjects in one transaction: [{tenant_id, metric, amounts, subject?, idempotency_keys?}]. Decisions come in their order. Needs usage:write in each tenant.';
revoke all on function public.consume_quota_batches(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.consume_quota_batches(jsonb) to authenticated, service_role;

create function private.consume_quotas(p_tenant_id uuid, p_items jsonb) returns setof public.quota_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_item record;
  v_items private.quota_batch[];
  v_windows private.quota_window[];
  v_answer public.quota_answer;
  v_answers public.quota_answer[] := array[]::public.quota_answer[];
  v_taken public.quota_answer[] := array[]::public.quota_answer[];
  v_granted public.reservation_answer;
  v_is_denied boolean;
  v_group record;
begin
  if p_items is null or jsonb_typeof(p_items) <> 'array' or jsonb_array_length(p_items) not between 1 and 100 then
    perform private.raise_error(400, 'invalid_items', 'Items are a JSON array of 1 to 100 objects.');
  end if;
  v_items := array(
    select row(
      i.index, p_tenant_id, i.metric, private.taking_subject(p_tenant_id, i.metric, i.subject),
      array[coalesce(i.amount, 1)], array[i.idempotency_key]
    )::private.quota_batch
    from rows from (
      jsonb_to_recordset(p_items) as (metric text, amount bigint, subject text, idempotency_key text)
    ) with ordinality i (metric, amount, subject, idempotency_key, index)
  );
  perform private.check_amounts(i.amounts) from unnest(v_items) i;
  if exists (select from unnest(v_items) i group by i.metric, i.subject having count(*) > 1) then
    perform private.raise_error(400, 'duplicate_item', 'Name each metric once for each subject.');
  end if;

  for v_round in 1..10 loop
    -- Look first: what is denied then has taken nothing.
    v_is_denied := false;
    for v_item in select i.*, i.amounts[1] as amount, i.keys[1] as key from unnest(v_items) i order by i.metric, i.subject
    loop
      v_granted := private.find_grant(p_tenant_id, v_item.key, v_item.metric, v_item.amount, v_item.subject, false);
      if v_granted.allowed then
        v_answer := private.without_reservation(v_granted);
      else
        v_windows := private.quota_windows(p_tenant_id, v_item.metric, v_item.subject);
        if exists (select from unnest(v_windows) w where v_item.amount > w.cap - w.used) then
          v_answer := (private.deny_quota(p_tenant_id, v_item.metric, v_item.amount, v_windows)).answer;
          perform private.count_denials(p_tenant_id, v_item.metric, 1);
          v_is_denied := true;
        else
          v_answer := private.quota_answer(
            v_item.metric, private.tightest_window(v_windows, v_item.amount, true), false
          );
          v_answer.reason := 'denied_together';
        end if;
      end if;
      v_answers[v_item.index] := v_answer;
    end loop;
    if v_is_denied then
      return query select * from unnest(v_answers);
      return;
    end if;

    begin
      for v_group in
        select i.metric, array_agg(i order by i.subject) as items, array_agg(i.subject) as subjects
        from unnest(v_items) i group by i.metric order by i.metric
      loop
        if cardinality(v_group.subjects) > 1 then
          perform private.lock_counters(p_tenant_id, v_group.metric, v_group.subjects);
        end if;
        for v_item in select * from unnest(v_group.items) loop
          v_granted := (private.grant_quota(
            p_tenant_id, v_item.metric, v_item.subject, v_item.amounts, v_item.keys
          ))[1];
          if not v_granted.allowed then
            v_windows := private.quota_windows(p_tenant_id, v_item.metric, v_item.subject);
            raise exception using errcode = 'MB001';
          end if;
          v_taken[v_item.index] := private.without_reservation(v_granted);
        end loop;
      end loop;
      return query select * from unnest(v_taken);
      return;
    exception when sqlstate 'MB001' then
      -- Somebody took it between the look and the take, or an item for another subject did. Nothing is taken now.
      if exists (select from unnest(v_windows) w where v_item.amounts[1] > w.cap - w.used) then
        v_answers[v_item.index] :=
          (private.deny_quota(p_tenant_id, v_item.metric, v_item.amounts[1], v_windows)).answer;
        perform private.count_denials(p_tenant_id, v_item.metric, 1);
        return query select * from unnest(v_answers);
        return;
      end if;
    end;
  end loop;
  perform private.raise_error(503, 'quota_contended', 'The quota changes faster than it can be read; try again.');
end
$$;
revoke all on function private.consume_quotas(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.consume_quotas(uuid, jsonb) to authenticated, service_role;

create function public.consume_quotas(tenant_id uuid, items jsonb) returns setof public.quota_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.consume_quotas($1, $2) $$;
comment on function public.consume_quotas(uuid, jsonb) is
  'Takes all items or none: [{metric, amount?, subject?, idempotency_key?}]. Returns a decision for each, in order; where one is denied, the others say denied_together. Needs usage:write.';
revoke all on function public.consume_quotas(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.consume_quotas(uuid, jsonb) to authenticated, service_role;


-- check_tenant_quota -------------------------------------------------------------------------------------------------

create function private.check_tenant_quota(p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text)
returns public.quota_answer
language plpgsql stable security definer set search_path = '' as $$
declare
  v_subject text := private.quota_subject(p_tenant_id, 'usage:read', p_subject);
  v_windows private.quota_window[];
  v_allowed boolean;
begin
  perform private.check_amounts(array[p_amount]);
  v_windows := private.quota_windows(p_tenant_id, p_metric, v_subject);
  v_allowed := not exists (select from unnest(v_windows) w where p_amount > w.cap - w.used);
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


-- Status and limits --------------------------------------------------------------------------------------------------

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
      private.window_end(e.period, u.window_start), e.enforcement, e.is_override,
      greatest(u.used - e.limit_value, 0)
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

-- How often a limited metric was granted and denied, since ever.
create function private.get_quota_checks(p_tenant_id uuid) returns setof public.quota_checks
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  perform private.tenant_now(p_tenant_id); -- PT404 unless the tenant exists
  return query
    select c.metric, sum(c.allowed)::bigint, sum(c.denied)::bigint
    from (
      select q.metric, q.allowed, 0 as denied from private.quota_counters q where q.tenant_id = p_tenant_id
      union all
      select d.metric, 0, d.denied from private.quota_denials d where d.tenant_id = p_tenant_id
    ) c
    group by c.metric
    order by c.metric;
end
$$;
revoke all on function private.get_quota_checks(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_quota_checks(uuid) to authenticated, service_role;

create function public.get_quota_checks(tenant_id uuid) returns setof public.quota_checks
language sql stable security invoker set search_path = '' as $$ select * from private.get_quota_checks($1) $$;
comment on function public.get_quota_checks(uuid) is
  'How many takes of each limited metric were allowed and denied, since ever. Needs usage:read.';
revoke all on function public.get_quota_checks(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_quota_checks(uuid) to authenticated, service_role;

-- The caller's rate limits in each of its tenants, or in one: of each metric, the window with the least left.
create function private.get_rate_limit_usage(p_tenant_id uuid) returns setof public.rate_limit_usage
language plpgsql stable security definer set search_path = '' as $$
declare
  v_tenant_ids uuid[];
  v_subject text := private.resolve_subject(null);
begin
  if p_tenant_id is null then
    v_tenant_ids := array(
      select m.tenant_id from public.memberships m
      where m.user_id = (select auth.uid()) and private.has_permission(m.tenant_id, 'usage:read')
    );
  else
    perform private.require_permission(p_tenant_id, 'usage:read');
    perform private.tenant_now(p_tenant_id); -- PT404 unless the tenant exists
    v_tenant_ids := array[p_tenant_id];
  end if;
  return query
    select t.id, t.plan_id, r.limit_value, r.remaining, r.resets_at, a.limit_value, a.remaining, a.resets_at
    from public.tenants t
    cross join lateral private.quota_answer('api_calls', private.tightest_window(
      private.quota_windows(t.id, 'api_calls', v_subject), 0, true
    ), true) r
    cross join lateral private.quota_answer('analysis_runs', private.tightest_window(
      private.quota_windows(t.id, 'analysis_runs', v_subject), 0, true
    ), true) a
    where t.id = any (v_tenant_ids)
    order by t.created_at, t.id;
end
$$;
revoke all on function private.get_rate_limit_usage(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_rate_limit_usage(uuid) to authenticated, service_role;

create function public.get_rate_limit_usage(tenant_id uuid default null) returns setof public.rate_limit_usage
language sql stable security invoker set search_path = '' as $$ select * from private.get_rate_limit_usage($1) $$;
comment on function public.get_rate_limit_usage(uuid) is
  'The caller''s limits of requests (api_calls) and analysis runs, and what is left of them, in each of its tenants or in one; null is unlimited. Needs usage:read.';
revoke all on function public.get_rate_limit_usage(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_rate_limit_usage(uuid) to authenticated, service_role;

-- A receipt, told.
create function private.explain_receipt(p_decision public.quota_decisions) returns public.quota_explanation
language plpgsql stable security definer set search_path = '' as $$
declare
  v_is_override boolean;
  v_explanation public.quota_explanation;
  v_resets_at timestamptz := private.window_end(p_decision.period, p_decision.window_start);
begin
  select (w ->> 'is_override')::boolean into v_is_override
  from jsonb_array_elements(p_decision.windows) w
  where w ->> 'period' = p_decision.period::text and w ->> 'subject' = p_decision.subject;

  v_explanation := row(
    p_decision.id, p_decision.tenant_id, p_decision.allowed, p_decision.reason, p_decision.metric, p_decision.period,
    p_decision.subject, p_decision.amount, p_decision.limit_value, p_decision.used,
    private.quota_remaining(p_decision.limit_value, p_decision.used), v_resets_at, p_decision.plan_id, v_is_override,
    p_decision.windows, p_decision.created_at,
    concat(
      case when p_decision.allowed then 'Allowed: ' else 'Denied: ' end,
      case
        when p_decision.reason = 'not_included' then format(
          case when v_is_override then '%s is set to 0 for this tenant, on the plan %s'
            else '%s is not included in the plan %2$s' end,
          p_decision.metric, p_decision.plan_id
        )
        else format(
          '%s of %s was asked for when %s of %s',
          p_decision.amount, p_decision.metric, p_decision.used, coalesce(p_decision.limit_value::text, 'an unlimited amount')
        ) || format(
          ' %s used%s%s, a limit %s',
          case when p_decision.allowed then 'is now' else 'was' end,
          case when p_decision.period <> 'none' then format(
            ' in the %s from %s', p_decision.period,
            to_char(p_decision.window_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
          ) end,
          case when p_decision.subject <> '' then format(' by %s', p_decision.subject) end,
          case when v_is_override then format('set for this tenant in place of the plan %s', p_decision.plan_id)
            else format('of the plan %s', p_decision.plan_id) end
        )
      end,
      case when p_decision.reason = 'soft_limit_exceeded' then '; the limit is soft, so the overage is counted' end,
      '.',
      case
        when v_resets_at is not null and p_decision.reason is distinct from 'not_included'
          then to_char(v_resets_at at time zone 'UTC', '" It resets at "YYYY-MM-DD HH24:MI "UTC."')
      end
    )
  );
  return v_explanation;
end
$$;
revoke all on function private.explain_receipt(public.quota_decisions) from public, anon, authenticated, service_role;

create function private.explain_decision(p_decision_id uuid) returns public.quota_explanation
language plpgsql stable security definer set search_path = '' as $$
declare
  v_decision public.quota_decisions;
begin
  select * into v_decision from public.quota_decisions where id = p_decision_id;
  if not found or not private.has_permission(v_decision.tenant_id, 'usage:read') then
    perform private.raise_error(404, 'decision_not_found', 'There is no such decision.');
  end if;
  return private.explain_receipt(v_decision);
end
$$;
revoke all on function private.explain_decision(uuid) from public, anon, authenticated, service_role;
grant execute on function private.explain_decision(uuid) to authenticated, service_role;

create function public.explain_decision(decision_id uuid) returns setof public.quota_explanation
language sql stable security invoker set search_path = '' as $$ select * from private.explain_decision($1) $$;
comment on function public.explain_decision(uuid) is
  'Why a decision fell as it did: the limits consulted, the counters seen, the one that decided, the plan then in force, and one sentence. Needs usage:read.';
revoke all on function public.explain_decision(uuid) from public, anon, authenticated, service_role;
grant execute on function public.explain_decision(uuid) to authenticated, service_role;

-- The period that an operator means: the metric's default unless one is named. PT404 for an unknown tenant or metric.
create function private.limit_period(p_tenant_id uuid, p_metric text, p_period public.quota_period)
returns public.quota_period
language plpgsql stable security definer set search_path = '' as $$
declare
  v_default public.quota_period;
begin
  perform private.tenant_now(p_tenant_id);
  select default_period into v_default from public.metrics where id = p_metric;
  if not found then
    perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
  end if;
  return coalesce(p_period, v_default);
end
$$;
revoke all on function private.limit_period(uuid, text, public.quota_period)
  from public, anon, authenticated, service_role;

-- Overrides the plan's limit of a period, or adds a window that it lacks. An override counts for whom the plan's limit
-- does; one of a new window for the whole tenant.
create function private.set_custom_quota(
  p_tenant_id uuid, p_metric text, p_limit_value bigint, p_period public.quota_period
) returns public.tenant_limits
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_period public.quota_period;
  v_per public.quota_scope;
  v_limit public.tenant_limits;
begin
  perform private.require_platform_admin();
  v_period := private.limit_period(p_tenant_id, p_metric, p_period);
  if p_limit_value not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_limit', 'A limit is an integer from 0 to 9007199254740991, or null for none.');
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

create function private.clear_custom_quota(p_tenant_id uuid, p_metric text, p_period public.quota_period)
returns setof public.tenant_limits
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.require_platform_admin();
  return query
    delete from public.tenant_limits l
    where l.tenant_id = p_tenant_id and l.metric = p_metric
      and l.period = private.limit_period(p_tenant_id, p_metric, p_period)
    returning l.*;
end
$$;
revoke all on function private.clear_custom_quota(uuid, text, public.quota_period)
  from public, anon, authenticated, service_role;
grant execute on function private.clear_custom_quota(uuid, text, public.quota_period) to authenticated, service_role;

create function public.clear_custom_quota(tenant_id uuid, metric text, period public.quota_period default null)
returns setof public.tenant_limits
language sql volatile security invoker set search_path = '' as $$ select * from private.clear_custom_quota($1, $2, $3) $$;
comment on function public.clear_custom_quota(uuid, text, public.quota_period) is
  'Takes one tenant''s own limit of a period (null: the metric''s default) back, so that its plan''s holds again, and returns what it was, if it had one. Platform admins.';
revoke all on function public.clear_custom_quota(uuid, text, public.quota_period)
  from public, anon, authenticated, service_role;
grant execute on function public.clear_custom_quota(uuid, text, public.quota_period) to authenticated, service_role;

-- Sets counters back to what live reservations hold: their settlement takes that off again.
create function private.reset_quota_counter(
  p_tenant_id uuid, p_metric text, p_period public.quota_period, p_subject text
) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_before jsonb;
begin
  perform private.require_platform_admin();
  perform private.limit_period(p_tenant_id, p_metric, p_period);
  perform private.refuse_counted(p_metric, 400);
  select coalesce(jsonb_agg(to_jsonb(c) - 'tenant_id' - 'metric' - 'allowed'), '[]') into v_before
  from (
    select q.* from private.quota_counters q
    where q.tenant_id = p_tenant_id and q.metric = p_metric
      and (p_period is null or q.period = p_period) and (p_subject is null or q.subject = p_subject)
    order by q.period, q.subject
    for update
  ) c;
  with held as materialized (
    select h.period, h.subject, h.window_start, sum(h.amount) as amount
    from private.quota_reservations r cross join lateral unnest(r.holds) h
    where r.tenant_id = p_tenant_id and r.metric = p_metric and r.status = 'open'
    group by 1, 2, 3
  )
  update private.quota_counters c
  set used = least(c.used, coalesce((
    select h.amount from held h
    where h.period = c.period and h.subject = c.subject and h.window_start = c.window_start
  ), 0))
  where c.tenant_id = p_tenant_id and c.metric = p_metric
    and (p_period is null or c.period = p_period) and (p_subject is null or c.subject = p_subject);
  if jsonb_array_length(v_before) > 0 then
    perform private.audit(
      p_tenant_id, 'quota_counter_reset', 'updated', 'metric', p_metric, jsonb_build_object('counters', v_before)
    );
  end if;
  return jsonb_array_length(v_before);
end
$$;
revoke all on function private.reset_quota_counter(uuid, text, public.quota_period, text)
  from public, anon, authenticated, service_role;
grant execute on function private.reset_quota_counter(uuid, text, public.quota_period, text)
  to authenticated, service_role;

create function public.reset_quota_counter(
  tenant_id uuid, metric text, period public.quota_period default null, subject text default null
) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.reset_quota_counter($1, $2, $3, $4) $$;
comment on function public.reset_quota_counter(uuid, text, public.quota_period, text) is
  'Sets what is used of a metric back to nothing but live reservations, in every period and for every subject unless named (an empty subject is the tenant), and returns how many counters that were. Platform admins.';
revoke all on function public.reset_quota_counter(uuid, text, public.quota_period, text)
  from public, anon, authenticated, service_role;
grant execute on function public.reset_quota_counter(uuid, text, public.quota_period, text)
  to authenticated, service_role;


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
