-- Credits: what paid invoices grant, what is debited, and what of it is left at any time.
--
-- The ledger is append-only: every movement of a tenant's balance is an entry with the balance after it, booked under the
-- lock of the tenant's account and dated with the tenant's time of booking, so entries never get in between older ones.
-- The balance at a time is that of the last entry until then, less what has expired since.
--
-- Grants follow from the lines of paid invoices, whatever order these come in. A line covers months, counted back from its
-- end, one for a monthly price and twelve for a yearly one; a month's credits are the sum over its lines of the price's
-- credits_per_month, of a proration only the share of the month that it covers, and negative where Stripe refunds. They are
-- granted when the month begins in the tenant's time, as long as the subscription has not ended before. What a refund takes
-- back is at most what is left of that month; what of it was spent is withheld from other months. Fractions are rounded, halves up.
--
-- A month's credits expire when it ends, or the plan's credit_rollover_months later; those that come after the month has
-- ended are good for a month. Months that ended 35 days or more before are past: they grant nothing.
--
-- A debit takes from what expires first.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.credit_entry_kind as enum ('grant', 'debit', 'expiry', 'correction');
create type private.credit_share as (month_start timestamptz, month_end timestamptz, credits numeric);
create type public.credit_debit as (allowed boolean, amount bigint, balance bigint, reason text, entry_id bigint);

create table public.credit_ledger (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  kind public.credit_entry_kind not null,
  amount bigint not null,
  balance bigint not null,
  grants jsonb not null,
  reason text not null,
  idempotency_key text,
  effective_at timestamptz not null,
  expires_at timestamptz,
  created_at timestamptz not null default now(),
  constraint credit_ledger_idempotency_key_unique unique (tenant_id, idempotency_key),
  constraint credit_ledger_balance_not_negative check (balance >= 0),
  constraint credit_ledger_sign_of_kind check (case when kind = 'grant' then amount > 0 else amount < 0 end)
);
comment on table public.credit_ledger is 'Every movement of credits, and the balance after it. Append-only.';
comment on column public.credit_ledger.grants is 'How much of the amount is of which grant: {"<grant id>": amount}.';
comment on column public.credit_ledger.effective_at is 'In the tenant''s time; never before that of an earlier entry of the tenant.';
alter table public.credit_ledger enable row level security;
revoke all on public.credit_ledger from anon, authenticated, service_role;
revoke all on sequence public.credit_ledger_id_seq from anon, authenticated, service_role;
grant select on public.credit_ledger to authenticated, service_role;
create policy members_read_credit_ledger on public.credit_ledger for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index credit_ledger_by_time on public.credit_ledger (tenant_id, effective_at desc, id desc);

create table private.credit_accounts (
  tenant_id uuid primary key references public.tenants (id) on delete cascade,
  balance bigint not null default 0,
  due_at timestamptz not null default 'infinity',
  constraint credit_accounts_balance_not_negative check (balance >= 0)
);
comment on table private.credit_accounts is 'The balance after the last entry; the row is the lock of the tenant''s credits.';
comment on column private.credit_accounts.due_at is 'When something has to be granted or expires next, in the tenant''s time.';
alter table private.credit_accounts enable row level security;
create index credit_accounts_due on private.credit_accounts (due_at) where due_at < 'infinity';

create table private.credit_grants (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  stripe_subscription_id text,
  month_end timestamptz,
  granted bigint not null default 0,
  remaining bigint not null default 0,
  expires_at timestamptz not null,
  constraint credit_grants_month_once unique (tenant_id, stripe_subscription_id, month_end),
  constraint credit_grants_remaining_range check (remaining between 0 and granted)
);
comment on table private.credit_grants is 'What was granted for each month of a subscription, or by an operator, and what is left of it.';
alter table private.credit_grants enable row level security;
create index credit_grants_left on private.credit_grants (tenant_id, expires_at, id) where remaining > 0;

create table private.credit_months (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  stripe_line_id text not null,
  month_start timestamptz not null,
  month_end timestamptz not null,
  stripe_subscription_id text not null,
  credits numeric not null,
  rollover_months int,
  primary key (tenant_id, stripe_line_id, month_end)
);
comment on table private.credit_months is 'The share of each line of a paid invoice in each month that it covers.';
alter table private.credit_months enable row level security;
create index credit_months_by_end on private.credit_months (tenant_id, month_end);


-- Booking ------------------------------------------------------------------------------------------------------------

-- Locks a tenant's account, which is made at the first use, after the tenant itself, so that who deletes the tenant waits
-- here and not in a circle. PT404 for an unknown tenant.
create function private.lock_credit_account(p_tenant_id uuid) returns private.credit_accounts
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_account private.credit_accounts;
begin
  perform from public.tenants t where t.id = p_tenant_id for key share;
  if not found then
    perform private.raise_error(404, 'tenant_not_found', 'There is no such tenant.');
  end if;
  select * into v_account from private.credit_accounts a where a.tenant_id = p_tenant_id for no key update;
  if not found then
    insert into private.credit_accounts (tenant_id) values (p_tenant_id) on conflict do nothing;
    select * into v_account from private.credit_accounts a where a.tenant_id = p_tenant_id for no key update;
  end if;
  return v_account;
end
$$;
revoke all on function private.lock_credit_account(uuid) from public, anon, authenticated, service_role;

-- The time of an entry of a tenant whose account is locked: the tenant's, by the wall clock, since whoever waited for the
-- lock has begun before, and not before the last entry.
create function private.booking_time(p_tenant_id uuid) returns timestamptz
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_at timestamptz;
begin
  select greatest(clock_timestamp() + t.clock_offset, (
    select l.effective_at from public.credit_ledger l where l.tenant_id = t.id order by l.effective_at desc, l.id desc limit 1
  )) into v_at
  from public.tenants t where t.id = p_tenant_id;
  return v_at;
end
$$;
revoke all on function private.booking_time(uuid) from public, anon, authenticated, service_role;

-- Appends an entry to the ledger of a tenant, whose account is locked, and returns its id.
create function private.book_credits(
  p_tenant_id uuid, p_kind public.credit_entry_kind, p_grants jsonb, p_reason text, p_at timestamptz,
  p_idempotency_key text default null, p_expires_at timestamptz default null
) returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_amount bigint := (select sum(g.value::bigint) from jsonb_each_text(p_grants) g);
  v_balance bigint;
  v_id bigint;
begin
  update private.credit_grants g
  set remaining = g.remaining + e.value::bigint,
    granted = g.granted + case when p_kind in ('grant', 'correction') then e.value::bigint else 0 end
  from jsonb_each_text(p_grants) e
  where g.id = e.key::bigint;
  update private.credit_accounts a set balance = a.balance + v_amount where a.tenant_id = p_tenant_id
  returning a.balance into v_balance;
  insert into public.credit_ledger (
    tenant_id, kind, amount, balance, grants, reason, effective_at, idempotency_key, expires_at
  ) values (p_tenant_id, p_kind, v_amount, v_balance, p_grants, p_reason, p_at, p_idempotency_key, p_expires_at)
  returning id into v_id;
  return v_id;
end
$$;
revoke all on function private.book_credits(uuid, public.credit_entry_kind, jsonb, text, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;

-- Books what has expired until p_at, each grant at its own time.
create function private.book_expired_credits(p_tenant_id uuid, p_at timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_grant private.credit_grants;
begin
  for v_grant in
    select * from private.credit_grants g
    where g.tenant_id = p_tenant_id and g.remaining > 0 and g.expires_at <= p_at
    order by g.expires_at, g.id
  loop
    perform private.book_credits(
      p_tenant_id, 'expiry', jsonb_build_object(v_grant.id, -v_grant.remaining), 'expired', v_grant.expires_at
    );
  end loop;
end
$$;
revoke all on function private.book_expired_credits(uuid, timestamptz) from public, anon, authenticated, service_role;

-- Books for a tenant, whose account is locked, whatever is due at the time of booking: what has expired, and what the months that have
-- begun differ from what they granted. Returns the balance.
create function private.settle_credits(p_tenant_id uuid, p_at timestamptz) returns bigint
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC' as $$
declare
  v_month record;
  v_grant private.credit_grants;
  v_change bigint;
  v_withheld bigint;
  v_owed bigint;
  v_balance bigint;
begin
  perform private.book_expired_credits(p_tenant_id, p_at);
  -- What was spent of refunded months, less what months that are past have withheld for it.
  select greatest(coalesce(sum(
    greatest(g.granted - g.remaining - m.credits, 0)
      - case when m.month_end <= p_at - interval '35 days' then greatest(m.credits - g.granted, 0) else 0 end
  ), 0), 0) into v_owed
  from private.credit_grants g
  join (
    select c.stripe_subscription_id, c.month_end, greatest(round(sum(c.credits))::bigint, 0) as credits
    from private.credit_months c
    where c.tenant_id = p_tenant_id
    group by c.stripe_subscription_id, c.month_end
  ) m on m.stripe_subscription_id = g.stripe_subscription_id and m.month_end = g.month_end
  where g.tenant_id = p_tenant_id;
  for v_month in
    select m.stripe_subscription_id, m.month_end, round(sum(m.credits))::bigint as credits,
      case when bool_or(m.rollover_months is null) then 'infinity' else
        m.month_end + make_interval(months => max(m.rollover_months))
      end as expires_at
    from private.credit_months m
    left join public.subscriptions s
      on s.tenant_id = m.tenant_id and s.stripe_subscription_id = m.stripe_subscription_id
    where m.tenant_id = p_tenant_id and m.month_end > p_at - interval '35 days'
      and m.month_start <= p_at and m.month_start < coalesce(s.ended_at, 'infinity')
    group by m.stripe_subscription_id, m.month_end
    order by m.month_end, m.stripe_subscription_id
  loop
    insert into private.credit_grants (tenant_id, stripe_subscription_id, month_end, expires_at)
    values (p_tenant_id, v_month.stripe_subscription_id, v_month.month_end, v_month.expires_at)
    on conflict do nothing;
    select * into v_grant from private.credit_grants g
    where g.tenant_id = p_tenant_id and g.stripe_subscription_id = v_month.stripe_subscription_id
      and g.month_end = v_month.month_end;
    v_change := greatest(v_month.credits - v_grant.granted, -v_grant.remaining);
    v_withheld := greatest(least(v_change, v_owed), 0);
    v_owed := v_owed - v_withheld;
    v_change := v_change - v_withheld;
    if v_month.expires_at > greatest(v_grant.expires_at, p_at) or (v_change > 0 and v_grant.expires_at <= p_at) then
      update private.credit_grants g
      set expires_at = case when v_month.expires_at > p_at then v_month.expires_at else p_at + interval '1 month' end
      where g.id = v_grant.id
      returning * into v_grant;
    end if;
    if v_change <> 0 then
      perform private.book_credits(
        p_tenant_id, case when v_change > 0 then 'grant' else 'correction' end::public.credit_entry_kind,
        jsonb_build_object(v_grant.id, v_change), v_month.stripe_subscription_id, p_at, p_expires_at => v_grant.expires_at
      );
    end if;
  end loop;

  update private.credit_accounts a
  set due_at = least(
    (select min(g.expires_at) from private.credit_grants g where g.tenant_id = p_tenant_id and g.remaining > 0),
    (select min(m.month_start) from private.credit_months m where m.tenant_id = p_tenant_id and m.month_start > p_at),
    'infinity'
  )
  where a.tenant_id = p_tenant_id
  returning a.balance into v_balance;
  return v_balance;
end
$$;
revoke all on function private.settle_credits(uuid, timestamptz) from public, anon, authenticated, service_role;

-- Books what is due in all tenants, and says in how many.
create function private.settle_due_credits() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant_id uuid;
  v_settled int := 0;
begin
  for v_tenant_id in
    select a.tenant_id
    from private.credit_accounts a
    join public.tenants t on t.id = a.tenant_id
    where a.due_at < 'infinity' and a.due_at <= now() + t.clock_offset
    order by a.tenant_id
    for no key update of a skip locked
    for key share of t skip locked
  loop
    perform private.settle_credits(v_tenant_id, private.booking_time(v_tenant_id));
    v_settled := v_settled + 1;
  end loop;
  return v_settled;
end
$$;
revoke all on function private.settle_due_credits() from public, anon, authenticated, service_role;


-- Grants -------------------------------------------------------------------------------------------------------------

-- The months that a line of an invoice covers, counted back from its end, each with its share of p_credits: all of a
-- regular line's, of a proration as much of the month as it covers.
create function private.months_of_line(
  p_start timestamptz, p_end timestamptz, p_interval public.price_interval, p_credits numeric, p_is_proration boolean
) returns setof private.credit_share
language sql immutable set search_path = '' set timezone = 'UTC' as $$
  select m.month_start, m.month_end,
    p_credits * case
      when p_is_proration then extract(epoch from m.month_end - greatest(m.month_start, p_start))
        / extract(epoch from m.month_end - m.month_start)
      else 1
    end
  from generate_series(1, case p_interval when 'year' then 12 else 1 end) n
  cross join lateral (
    select p_end - make_interval(months => n) as month_start, p_end - make_interval(months => n - 1) as month_end
  ) m
  where m.month_end > p_start
$$;
revoke all on function private.months_of_line(timestamptz, timestamptz, public.price_interval, numeric, boolean)
  from public, anon, authenticated, service_role;

-- Gives a tenant credits by hand: what an operator owes it, or sold it otherwise.
create function private.grant_credits(
  p_tenant_id uuid, p_amount bigint, p_reason text, p_expires_at timestamptz, p_idempotency_key text
) returns public.credit_ledger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_entry public.credit_ledger;
  v_grant_id bigint;
  v_at timestamptz;
begin
  perform private.require_platform_admin();
  perform private.check_credit_request(p_amount, p_reason, p_idempotency_key);
  perform private.lock_credit_account(p_tenant_id);
  v_entry := private.known_credit_entry(p_tenant_id, p_idempotency_key, 'grant', p_amount, p_reason);
  if v_entry.id is not null then
    return v_entry;
  end if;
  v_at := private.booking_time(p_tenant_id);
  perform private.settle_credits(p_tenant_id, v_at);
  if p_expires_at <= v_at then
    perform private.raise_error(400, 'invalid_expires_at', 'The credits would have expired already.');
  end if;
  insert into private.credit_grants (tenant_id, expires_at) values (p_tenant_id, coalesce(p_expires_at, 'infinity'))
  returning id into v_grant_id;
  perform private.book_credits(
    p_tenant_id, 'grant', jsonb_build_object(v_grant_id, p_amount), p_reason, v_at, p_idempotency_key, p_expires_at
  );
  update private.credit_accounts a set due_at = least(a.due_at, p_expires_at) where a.tenant_id = p_tenant_id;
  select * into v_entry from public.credit_ledger l where l.tenant_id = p_tenant_id order by l.id desc limit 1;
  return v_entry;
end
$$;
revoke all on function private.grant_credits(uuid, bigint, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function private.grant_credits(uuid, bigint, text, timestamptz, text) to authenticated, service_role;

create function public.grant_credits(
  tenant_id uuid, amount bigint, reason text, expires_at timestamptz default null, idempotency_key text default null
) returns public.credit_ledger
language sql volatile security invoker set search_path = '' as $$ select * from private.grant_credits($1, $2, $3, $4, $5) $$;
comment on function public.grant_credits(uuid, bigint, text, timestamptz, text) is
  'Gives a tenant credits by hand; without expires_at for ever. The same idempotency key grants once. Platform admins.';
revoke all on function public.grant_credits(uuid, bigint, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.grant_credits(uuid, bigint, text, timestamptz, text) to authenticated, service_role;


-- Debits and the balance ---------------------------------------------------------------------------------------------

create function private.check_credit_request(p_amount bigint, p_reason text, p_idempotency_key text) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_amount', 'An amount of credits is 1 to 9007199254740991.');
  end if;
  if p_reason is null or char_length(p_reason) not between 1 and 200 then
    perform private.raise_error(400, 'invalid_reason', 'A reason has 1 to 200 characters.');
  end if;
  if char_length(p_idempotency_key) not between 1 and 255 then
    perform private.raise_error(400, 'invalid_idempotency_key', 'An idempotency key has 1 to 255 characters.');
  end if;
end
$$;
revoke all on function private.check_credit_request(bigint, text, text) from public, anon, authenticated, service_role;

-- The entry that the idempotency key has made, if any; PT409 where it was another.
create function private.known_credit_entry(
  p_tenant_id uuid, p_idempotency_key text, p_kind public.credit_entry_kind, p_amount bigint, p_reason text
) returns public.credit_ledger
language plpgsql stable security definer set search_path = '' as $$
declare
  v_entry public.credit_ledger;
begin
  select * into v_entry from public.credit_ledger l
  where l.tenant_id = p_tenant_id and l.idempotency_key = p_idempotency_key;
  if found and (v_entry.kind, abs(v_entry.amount), v_entry.reason) is distinct from (p_kind, p_amount, p_reason) then
    perform private.raise_error(409, 'idempotency_key_reused', 'The idempotency key was used for another amount or reason.');
  end if;
  return v_entry;
end
$$;
revoke all on function private.known_credit_entry(uuid, text, public.credit_entry_kind, bigint, text)
  from public, anon, authenticated, service_role;

create function private.debit_credits(p_tenant_id uuid, p_amount bigint, p_reason text, p_idempotency_key text)
returns public.credit_debit
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_account private.credit_accounts;
  v_entry public.credit_ledger;
  v_at timestamptz;
  v_balance bigint;
  v_grants jsonb;
begin
  perform private.require_permission(p_tenant_id, 'usage:write');
  perform private.check_credit_request(p_amount, p_reason, p_idempotency_key);
  v_account := private.lock_credit_account(p_tenant_id);
  v_entry := private.known_credit_entry(p_tenant_id, p_idempotency_key, 'debit', p_amount, p_reason);
  if v_entry.id is not null then
    return row(true, p_amount, v_entry.balance, null::text, v_entry.id);
  end if;

  v_at := private.booking_time(p_tenant_id);
  v_balance := v_account.balance;
  if v_account.due_at <= v_at then
    v_balance := private.settle_credits(p_tenant_id, v_at);
  end if;
  if v_balance < p_amount then
    return row(false, p_amount, v_balance, 'insufficient_credits'::text, null::bigint);
  end if;
  select jsonb_object_agg(b.id, -least(b.remaining, p_amount - b.before)) into v_grants
  from (
    select g.id, g.remaining, sum(g.remaining) over (order by g.expires_at, g.id) - g.remaining as before
    from private.credit_grants g
    where g.tenant_id = p_tenant_id and g.remaining > 0
  ) b
  where b.before < p_amount;
  v_entry.id := private.book_credits(p_tenant_id, 'debit', v_grants, p_reason, v_at, p_idempotency_key);
  return row(true, p_amount, v_balance - p_amount, null::text, v_entry.id);
end
$$;
revoke all on function private.debit_credits(uuid, bigint, text, text) from public, anon, authenticated, service_role;
grant execute on function private.debit_credits(uuid, bigint, text, text) to authenticated, service_role;

create function public.debit_credits(tenant_id uuid, amount bigint, reason text, idempotency_key text default null)
returns setof public.credit_debit
language sql volatile security invoker set search_path = '' as $$ select * from private.debit_credits($1, $2, $3, $4) $$;
comment on function public.debit_credits(uuid, bigint, text, text) is
  'Takes credits, those that expire first; where there are too few it takes none and says insufficient_credits. The same idempotency key takes once. Needs usage:write.';
revoke all on function public.debit_credits(uuid, bigint, text, text) from public, anon, authenticated, service_role;
grant execute on function public.debit_credits(uuid, bigint, text, text) to authenticated, service_role;

create function private.get_credit_balance(p_tenant_id uuid, p_at timestamptz) returns bigint
language plpgsql stable security definer set search_path = '' as $$
declare
  v_now timestamptz;
  v_balance bigint;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  v_now := private.tenant_now(p_tenant_id);
  select l.balance into v_balance
  from public.credit_ledger l
  where l.tenant_id = p_tenant_id and l.effective_at <= coalesce(p_at, 'infinity')
  order by l.effective_at desc, l.id desc
  limit 1;
  return coalesce(v_balance, 0) - coalesce((
    select sum(g.remaining) from private.credit_grants g
    where g.tenant_id = p_tenant_id and g.remaining > 0
      and g.expires_at <= coalesce(p_at, v_now) and g.expires_at < 'infinity'
  ), 0);
end
$$;
revoke all on function private.get_credit_balance(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.get_credit_balance(uuid, timestamptz) to authenticated, service_role;

create function public.get_credit_balance(tenant_id uuid, at timestamptz default null) returns bigint
language sql stable security invoker set search_path = '' as $$ select * from private.get_credit_balance($1, $2) $$;
comment on function public.get_credit_balance(uuid, timestamptz) is
  'The credits a tenant has, had at a time, or will have left if nothing else happens (null: now, in the tenant''s time). Needs usage:read.';
revoke all on function public.get_credit_balance(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.get_credit_balance(uuid, timestamptz) to authenticated, service_role;
