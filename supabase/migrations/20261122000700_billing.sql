-- Billing: what a tenant has bought, as far as Stripe has told. The inbox of Stripe's events writes these tables.
--
-- A tenant's plan follows the greatest plan among its subscriptions that are in force at the tenant's time:
--   active, trialing   until they are cancelled: at the end of the period, where that was asked for
--   past_due           for the plan's grace_days after the payment failed
--   all others         not
-- Where none is in force any more the tenant moves to free. A tenant that never had one is left alone: it may be on trial,
-- or on a plan that an operator gave it.
--
-- Times in Stripe's objects are Stripe's; deadlines are compared with the tenant's time, so that a test clock passes them.
--
-- A price that gets another Stripe price goes on to be sold by the old one to whoever has it.
--
-- Locks: the row of the Stripe object, then its customer's, then the tenant's, then what belongs to it.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.checkout_status as enum ('clicked', 'open', 'completed', 'expired');
create type public.payment_status as enum ('succeeded', 'failed');
create type public.checkout as (
  checkout_id uuid, tenant_id uuid, tenant_name text, price_id text, stripe_price_id text, stripe_customer_id text,
  customer_email text, open_session_ids text[]
);
create type public.billing_account as (
  tenant_id uuid, tenant_name text, stripe_customer_id text, customer_email text, stripe_subscription_id text,
  stripe_item_id text, price_id text, status text, cancel_at_period_end boolean
);
create type public.plan_change as (
  tenant_id uuid, stripe_subscription_id text, stripe_item_id text, price_id text, stripe_price_id text
);
create type public.subscription_state as (
  tenant_id uuid, plan_id text, price_id text, status text, current_period_start timestamptz,
  current_period_end timestamptz, cancel_at_period_end boolean, trial_ends_at timestamptz, grace_ends_at timestamptz,
  stripe_subscription_id text, plan_details jsonb
);

create table private.stripe_prices (
  stripe_price_id text primary key,
  price_id text not null references public.plan_prices (id) on delete cascade
);
comment on table private.stripe_prices is 'What each Stripe price sells, also those that are offered no more.';
alter table private.stripe_prices enable row level security;
create index stripe_prices_by_price on private.stripe_prices (price_id);

create function private.remember_stripe_price() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into private.stripe_prices (stripe_price_id, price_id) values (new.stripe_price_id, new.id)
  on conflict (stripe_price_id) do update set price_id = excluded.price_id;
  return null;
end
$$;
revoke all on function private.remember_stripe_price() from public, anon, authenticated, service_role;
create trigger remember_stripe_price after insert or update of stripe_price_id on public.plan_prices
  for each row when (new.stripe_price_id is not null) execute function private.remember_stripe_price();

create table public.checkout_sessions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  price_id text not null references public.plan_prices (id),
  status public.checkout_status not null default 'clicked',
  actor_id text,
  idempotency_key text,
  stripe_session_id text,
  ip_address inet,
  clicked_at timestamptz not null default now(),
  opened_at timestamptz,
  expires_at timestamptz,
  completed_at timestamptz,
  constraint checkout_sessions_stripe_session_id_unique unique (stripe_session_id),
  constraint checkout_sessions_idempotency_key_unique unique (tenant_id, idempotency_key),
  constraint checkout_sessions_idempotency_key_length check (char_length(idempotency_key) between 1 and 255),
  constraint checkout_sessions_dated_when_completed check ((status = 'completed') = (completed_at is not null))
);
comment on table public.checkout_sessions is 'Every click on a price, the Stripe session that was made for it, and how it ended.';
comment on column public.checkout_sessions.actor_id is 'The user or API key that clicked.';
alter table public.checkout_sessions enable row level security;
revoke all on public.checkout_sessions from anon, authenticated, service_role;
grant select on public.checkout_sessions to authenticated, service_role;
create policy owners_read_checkout_sessions on public.checkout_sessions for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('billing:read'))));
create index checkout_sessions_by_tenant on public.checkout_sessions (tenant_id, clicked_at desc);
create index checkout_sessions_by_address on public.checkout_sessions (ip_address, clicked_at desc);
create index checkout_sessions_by_age on public.checkout_sessions (clicked_at);
create index checkout_sessions_by_price on public.checkout_sessions (price_id);

create table public.subscriptions (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  stripe_subscription_id text not null,
  stripe_customer_id text not null,
  stripe_item_id text not null,
  price_id text not null references public.plan_prices (id),
  status text not null,
  current_period_start timestamptz not null,
  current_period_end timestamptz not null,
  cancel_at_period_end boolean not null,
  cancel_at timestamptz,
  canceled_at timestamptz,
  ended_at timestamptz,
  trial_ends_at timestamptz,
  past_due_since timestamptz,
  entitled_until timestamptz not null,
  is_in_force boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, stripe_subscription_id),
  constraint subscriptions_stripe_subscription_id_unique unique (stripe_subscription_id)
);
comment on table public.subscriptions is 'The subscriptions of a tenant, as Stripe told of them last. Stripe''s event inbox alone writes them.';
comment on column public.subscriptions.status is 'Stripe''s word: incomplete, trialing, active, past_due, unpaid, paused, canceled, incomplete_expired.';
comment on column public.subscriptions.entitled_until is 'Until when it gives its plan, as far as is known; infinity while it goes on, -infinity where it gives none.';
comment on column public.subscriptions.is_in_force is 'Whether the tenant has its plan from this one.';
comment on column public.subscriptions.created_at is 'In Stripe.';
alter table public.subscriptions enable row level security;
revoke all on public.subscriptions from anon, authenticated, service_role;
grant select on public.subscriptions to authenticated, service_role;
create policy owners_read_subscriptions on public.subscriptions for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('billing:read'))));
create unique index subscriptions_one_in_force on public.subscriptions (tenant_id) where is_in_force;
create index subscriptions_with_deadline on public.subscriptions (entitled_until)
  where is_in_force and entitled_until < 'infinity';
create index subscriptions_by_price on public.subscriptions (price_id);
create trigger set_updated_at before update on public.subscriptions
  for each row execute function private.set_updated_at();
create trigger audit_change after insert or update or delete on public.subscriptions
  for each row execute function private.audit_change('subscription', 'stripe_subscription_id');

create table public.invoices (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  stripe_invoice_id text not null,
  stripe_subscription_id text,
  number text,
  status text not null,
  billing_reason text,
  currency text not null,
  total bigint not null,
  amount_due bigint not null,
  amount_paid bigint not null,
  amount_remaining bigint not null,
  attempt_count int not null,
  next_payment_attempt_at timestamptz,
  period_start timestamptz not null,
  period_end timestamptz not null,
  hosted_invoice_url text,
  invoice_pdf text,
  created_at timestamptz not null,
  paid_at timestamptz,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, stripe_invoice_id),
  constraint invoices_stripe_invoice_id_unique unique (stripe_invoice_id)
);
comment on table public.invoices is 'The invoices of a tenant, as Stripe told of them last. Amounts are in the smallest unit of the currency.';
comment on column public.invoices.status is 'Stripe''s word: draft, open, paid, uncollectible, void.';
comment on column public.invoices.created_at is 'In Stripe.';
alter table public.invoices enable row level security;
revoke all on public.invoices from anon, authenticated, service_role;
grant select on public.invoices to authenticated, service_role;
create policy owners_read_invoices on public.invoices for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('billing:read'))));
create index invoices_by_tenant on public.invoices (tenant_id, created_at desc);
create trigger set_updated_at before update on public.invoices
  for each row execute function private.set_updated_at();

create table public.payments (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  stripe_invoice_id text not null,
  attempt int not null,
  status public.payment_status not null,
  stripe_payment_id text not null,
  amount bigint not null,
  currency text not null,
  occurred_at timestamptz not null,
  primary key (tenant_id, stripe_invoice_id, attempt, status)
);
comment on table public.payments is 'Every attempt to pay an invoice that Stripe told of, and how it ended.';
comment on column public.payments.stripe_payment_id is 'The charge or payment intent where Stripe names one, else the invoice.';
alter table public.payments enable row level security;
revoke all on public.payments from anon, authenticated, service_role;
grant select on public.payments to authenticated, service_role;
create policy owners_read_payments on public.payments for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('billing:read'))));
create index payments_by_age on public.payments (occurred_at);


-- Mails --------------------------------------------------------------------------------------------------------------

-- Puts a mail to each owner of a tenant into the outbox; p_key is what it is about, of which the owner hears once.
create function private.send_billing_mail(p_tenant_id uuid, p_template text, p_key text, p_facts jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into public.alert_notifications (tenant_id, kind, recipient, payload)
  select t.id, 'billing', u.email,
    p_facts || jsonb_build_object('template', p_template, 'key', p_template || ':' || p_key, 'tenant_name', t.name)
  from public.tenants t
  join public.memberships m on m.tenant_id = t.id and m.role = 'owner'
  join auth.users u on u.id = m.user_id
  where t.id = p_tenant_id and u.email is not null
    and not exists (select from public.user_suspensions s where s.user_id = m.user_id)
  order by u.email
  on conflict do nothing;
end
$$;
revoke all on function private.send_billing_mail(uuid, text, text, jsonb) from public, anon, authenticated, service_role;


-- The plan follows the subscriptions ---------------------------------------------------------------------------------

-- Gives a tenant, whose row is locked, the plan of its best subscription in force, and returns the tenant.
create function private.follow_subscriptions(p_tenant public.tenants, p_cause jsonb default '{}') returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_current public.subscriptions;
  v_best public.subscriptions;
  v_plan_id text;
begin
  select * into v_current from public.subscriptions s where s.tenant_id = p_tenant.id and s.is_in_force;
  select s.* into v_best
  from public.subscriptions s
  join public.plan_prices p on p.id = s.price_id
  join public.billing_plans b on b.id = p.plan_id
  where s.tenant_id = p_tenant.id and s.entitled_until > now() + p_tenant.clock_offset
  order by b.sort_order desc, s.created_at desc, s.stripe_subscription_id
  limit 1;
  if v_current.stripe_subscription_id is distinct from v_best.stripe_subscription_id then
    update public.subscriptions s set is_in_force = false where s.tenant_id = p_tenant.id and s.is_in_force;
    update public.subscriptions s set is_in_force = true
    where s.tenant_id = p_tenant.id and s.stripe_subscription_id = v_best.stripe_subscription_id;
  end if;

  if v_best.price_id is not null then
    select p.plan_id into v_plan_id from public.plan_prices p where p.id = v_best.price_id;
  elsif v_current.price_id is not null then
    v_plan_id := 'free';
  else
    return p_tenant;
  end if;
  if v_plan_id <> p_tenant.plan_id then
    p_tenant := private.change_plan(
      p_tenant, v_plan_id,
      case when p_tenant.trial_ends_at is null or v_plan_id = 'free' then 'plan_changed' else 'trial_upgraded' end,
      p_cause || jsonb_build_object(
        'stripe_subscription_id', coalesce(v_best.stripe_subscription_id, v_current.stripe_subscription_id)
      )
    );
  end if;
  -- What is paid for is no trial, also of a plan that has one.
  if v_best.price_id is not null and p_tenant.trial_ends_at is not null then
    update public.tenants t set trial_ends_at = null where t.id = p_tenant.id returning * into p_tenant;
  end if;
  return p_tenant;
end
$$;
revoke all on function private.follow_subscriptions(public.tenants, jsonb) from public, anon, authenticated, service_role;

-- Lets the plans follow that a deadline has ended, in the tenants' time, and says for how many tenants.
create function private.expire_subscriptions() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
  v_expired int := 0;
begin
  for v_tenant in
    select t.*
    from public.subscriptions s
    join public.tenants t on t.id = s.tenant_id
    where s.is_in_force and s.entitled_until < 'infinity' and s.entitled_until <= now() + t.clock_offset
    order by t.id
    for no key update of t skip locked
  loop
    perform private.follow_subscriptions(v_tenant, '{"reason": "deadline"}');
    v_expired := v_expired + 1;
  end loop;
  return v_expired;
end
$$;
revoke all on function private.expire_subscriptions() from public, anon, authenticated, service_role;


-- Prices -------------------------------------------------------------------------------------------------------------

create function private.set_stripe_price(p_price_id text, p_stripe_price_id text) returns public.plan_prices
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_price public.plan_prices;
begin
  perform private.require_platform_admin();
  if p_stripe_price_id !~ '^\S{1,255}$' then
    perform private.raise_error(400, 'invalid_stripe_price', 'A Stripe price has an id such as price_….');
  end if;
  if exists (select from public.plan_prices p where p.stripe_price_id = p_stripe_price_id and p.id <> p_price_id) then
    perform private.raise_error(409, 'stripe_price_taken', 'Another price has this Stripe price.');
  end if;
  update public.plan_prices p set stripe_price_id = p_stripe_price_id where p.id = p_price_id returning * into v_price;
  if not found then
    perform private.raise_error(404, 'price_not_found', format('There is no price "%s".', p_price_id));
  end if;
  return v_price;
end
$$;
revoke all on function private.set_stripe_price(text, text) from public, anon, authenticated, service_role;
grant execute on function private.set_stripe_price(text, text) to authenticated, service_role;

create function public.set_stripe_price(price_id text, stripe_price_id text) returns public.plan_prices
language sql volatile security invoker set search_path = '' as $$ select * from private.set_stripe_price($1, $2) $$;
comment on function public.set_stripe_price(text, text) is
  'Says which Stripe price sells a price; null takes it off sale. Platform admins.';
revoke all on function public.set_stripe_price(text, text) from public, anon, authenticated, service_role;
grant execute on function public.set_stripe_price(text, text) to authenticated, service_role;

-- A price that Stripe can sell.
create function private.require_price_for_sale(p_price_id text) returns public.plan_prices
language plpgsql stable security definer set search_path = '' as $$
declare
  v_price public.plan_prices;
begin
  select * into v_price from public.plan_prices p where p.id = p_price_id;
  if not found then
    perform private.raise_error(404, 'price_not_found', format('There is no price "%s".', p_price_id));
  end if;
  if v_price.stripe_price_id is null then
    perform private.raise_error(409, 'price_not_for_sale', format('The price "%s" has no Stripe price.', p_price_id));
  end if;
  return v_price;
end
$$;
revoke all on function private.require_price_for_sale(text) from public, anon, authenticated, service_role;


-- A tenant that would go on to be charged is not deleted.
create function private.keep_while_running() returns trigger
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (
    select from public.subscriptions s where s.tenant_id = old.id and private.is_running(s, now() + old.clock_offset)
  ) then
    perform private.raise_error(409, 'subscription_running', 'Cancel the subscription first: Stripe would go on to charge for it.');
  end if;
  return old;
end
$$;
revoke all on function private.keep_while_running() from public, anon, authenticated, service_role;
create trigger keep_while_running before delete on public.tenants
  for each row execute function private.keep_while_running();


-- What the billing function asks and tells ---------------------------------------------------------------------------

-- The subscription that speaks for a tenant: the one in force, else one that is not over, else the latest.
create function private.current_subscription(p_tenant_id uuid) returns public.subscriptions
language plpgsql stable security definer set search_path = '' as $$
declare
  v_subscription public.subscriptions;
begin
  select * into v_subscription
  from public.subscriptions s
  where s.tenant_id = p_tenant_id
  order by s.is_in_force desc, s.status in ('active', 'trialing', 'past_due', 'unpaid', 'paused') desc,
    s.created_at desc, s.stripe_subscription_id
  limit 1;
  return v_subscription;
end
$$;
revoke all on function private.current_subscription(uuid) from public, anon, authenticated, service_role;

-- Whether a subscription may still be charged for: it can be changed, and another one beside it would be paid twice.
create function private.is_running(p_subscription public.subscriptions, p_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(
    p_subscription.status in ('active', 'trialing', 'past_due', 'unpaid', 'paused')
      and coalesce(p_subscription.cancel_at, 'infinity') > p_at
      and not (p_subscription.cancel_at_period_end and p_subscription.current_period_end <= p_at),
    false
  )
$$;
revoke all on function private.is_running(public.subscriptions, timestamptz) from public, anon, authenticated, service_role;

-- Where Stripe's mails to a tenant go: to its first owner, whoever asks, so that the customer is the same for all.
create function private.billing_email(p_tenant_id uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  v_email text;
begin
  select u.email into v_email
  from public.memberships m
  join auth.users u on u.id = m.user_id
  where m.tenant_id = p_tenant_id and m.role = 'owner' and u.email is not null
  order by m.created_at, m.user_id
  limit 1;
  return v_email;
end
$$;
revoke all on function private.billing_email(uuid) from public, anon, authenticated, service_role;

create function private.get_subscription(p_tenant_id uuid) returns public.subscription_state
language plpgsql stable security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
  v_subscription public.subscriptions;
  v_state public.subscription_state;
begin
  perform private.require_permission(p_tenant_id, 'billing:read');
  select * into v_tenant from public.tenants t where t.id = p_tenant_id;
  if not found then
    perform private.raise_error(404, 'tenant_not_found', 'There is no such tenant.');
  end if;
  v_subscription := private.current_subscription(p_tenant_id);
  v_state := row(
    p_tenant_id, v_tenant.plan_id, v_subscription.price_id, coalesce(v_subscription.status, 'none'),
    v_subscription.current_period_start, v_subscription.current_period_end,
    coalesce(v_subscription.cancel_at_period_end, false), coalesce(v_subscription.trial_ends_at, v_tenant.trial_ends_at),
    case when v_subscription.status = 'past_due' then v_subscription.entitled_until end,
    v_subscription.stripe_subscription_id, null
  );
  select jsonb_build_object(
    'plan_id', b.id, 'name', b.name, 'description', b.description,
    'price', (select to_jsonb(l) from public.price_list l where l.price_id = v_subscription.price_id),
    'limits', coalesce((
      select jsonb_agg(jsonb_build_object(
        'metric', e.metric, 'period', e.period, 'per', e.per, 'limit_value', e.limit_value, 'enforcement', e.enforcement
      ) order by e.metric, e.period, e.per)
      from public.entitlements e where e.tenant_id = p_tenant_id
    ), '[]')
  ) into v_state.plan_details
  from public.billing_plans b where b.id = v_tenant.plan_id;
  return v_state;
end
$$;
revoke all on function private.get_subscription(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_subscription(uuid) to authenticated, service_role;

create function public.get_subscription(tenant_id uuid) returns setof public.subscription_state
language sql stable security invoker set search_path = '' as $$ select * from private.get_subscription($1) $$;
comment on function public.get_subscription(uuid) is
  'The plan in force, the subscription behind it (status none without one) and its period. Needs billing:read.';
revoke all on function public.get_subscription(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_subscription(uuid) to authenticated, service_role;

create function private.get_invoices(p_tenant_id uuid, p_max_rows int, p_before timestamptz) returns setof public.invoices
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_permission(p_tenant_id, 'billing:read');
  perform private.tenant_now(p_tenant_id);
  if p_max_rows is null or p_max_rows not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_max_rows', 'max_rows is 1 to 1000.');
  end if;
  return query
    select * from public.invoices i
    where i.tenant_id = p_tenant_id and i.created_at < coalesce(p_before, 'infinity')
    order by i.created_at desc, i.stripe_invoice_id
    limit p_max_rows;
end
$$;
revoke all on function private.get_invoices(uuid, int, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.get_invoices(uuid, int, timestamptz) to authenticated, service_role;

create function public.get_invoices(tenant_id uuid, max_rows int default 50, before_ts timestamptz default null)
returns setof public.invoices
language sql stable security invoker set search_path = '' as $$ select * from private.get_invoices($1, $2, $3) $$;
comment on function public.get_invoices(uuid, int, timestamptz) is
  'A tenant''s invoices, the newest first, made before a time. Needs billing:read.';
revoke all on function public.get_invoices(uuid, int, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.get_invoices(uuid, int, timestamptz) to authenticated, service_role;

create function private.get_billing_account(p_tenant_id uuid) returns public.billing_account
language plpgsql stable security definer set search_path = '' as $$
declare
  v_tenant public.tenants;
  v_subscription public.subscriptions;
begin
  perform private.require_permission(p_tenant_id, 'billing:write');
  select * into v_tenant from public.tenants t where t.id = p_tenant_id;
  if not found then
    perform private.raise_error(404, 'tenant_not_found', 'There is no such tenant.');
  end if;
  v_subscription := private.current_subscription(p_tenant_id);
  if not private.is_running(v_subscription, now() + v_tenant.clock_offset) then
    v_subscription := null;
  end if;
  return row(
    p_tenant_id, v_tenant.name, v_tenant.stripe_customer_id, private.billing_email(p_tenant_id),
    v_subscription.stripe_subscription_id, v_subscription.stripe_item_id, v_subscription.price_id, v_subscription.status,
    coalesce(v_subscription.cancel_at_period_end, false)
  );
end
$$;
revoke all on function private.get_billing_account(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_billing_account(uuid) to authenticated, service_role;

create function public.get_billing_account(tenant_id uuid) returns setof public.billing_account
language sql stable security invoker set search_path = '' as $$ select * from private.get_billing_account($1) $$;
comment on function public.get_billing_account(uuid) is
  'A tenant''s Stripe customer, and its subscription while that can be changed. Needs billing:write.';
revoke all on function public.get_billing_account(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_billing_account(uuid) to authenticated, service_role;

create function private.check_plan_change(p_tenant_id uuid, p_price_id text) returns public.plan_change
language plpgsql stable security definer set search_path = '' as $$
declare
  v_account public.billing_account := private.get_billing_account(p_tenant_id);
  v_price public.plan_prices := private.require_price_for_sale(p_price_id);
begin
  if v_account.stripe_subscription_id is null then
    perform private.raise_error(409, 'no_subscription', 'The tenant has no subscription that could be changed.');
  end if;
  -- Stripe credits unused time that was never paid for, and would take the change for the payment.
  if v_account.status not in ('active', 'trialing') then
    perform private.raise_error(409, 'payment_due', 'The last invoice has to be paid first.');
  end if;
  if v_account.price_id = p_price_id and not v_account.cancel_at_period_end then
    perform private.raise_error(409, 'price_unchanged', 'The subscription has this price already.');
  end if;
  return row(
    p_tenant_id, v_account.stripe_subscription_id, v_account.stripe_item_id, v_price.id, v_price.stripe_price_id
  );
end
$$;
revoke all on function private.check_plan_change(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.check_plan_change(uuid, text) to authenticated, service_role;

create function public.check_plan_change(tenant_id uuid, price_id text) returns setof public.plan_change
language sql stable security invoker set search_path = '' as $$ select * from private.check_plan_change($1, $2) $$;
comment on function public.check_plan_change(uuid, text) is
  'What to change in Stripe to move a subscription to another price; changes nothing. Needs billing:write.';
revoke all on function public.check_plan_change(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.check_plan_change(uuid, text) to authenticated, service_role;

create function private.begin_checkout(p_tenant_id uuid, p_price_id text, p_idempotency_key text, p_ip_address text)
returns public.checkout
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_tenant public.tenants := private.lock_tenant(p_tenant_id, 'billing:write');
  v_price public.plan_prices := private.require_price_for_sale(p_price_id);
  v_click public.checkout_sessions;
  v_event public.audit_events := private.new_audit_event(p_tenant_id, '', '');
begin
  if char_length(p_idempotency_key) not between 1 and 255 then
    perform private.raise_error(400, 'invalid_idempotency_key', 'An idempotency key has 1 to 255 characters.');
  end if;
  if exists (
    select from public.subscriptions s
    where s.tenant_id = p_tenant_id and private.is_running(s, now() + v_tenant.clock_offset)
  ) then
    perform private.raise_error(409, 'already_subscribed', 'The tenant has a subscription: change its plan instead.');
  end if;
  select * into v_click from public.checkout_sessions c
  where c.tenant_id = p_tenant_id and c.idempotency_key = p_idempotency_key;
  if found and v_click.price_id <> p_price_id then
    perform private.raise_error(409, 'idempotency_key_reused', 'The idempotency key was used for another price.');
  elsif not found then
    if (
      select count(*) >= 100 from public.checkout_sessions c
      where c.tenant_id = p_tenant_id and c.clicked_at > now() - interval '24 hours'
    ) then
      perform private.raise_error(429, 'too_many_checkouts', 'A tenant can begin 100 checkouts a day.');
    end if;
    insert into public.checkout_sessions (tenant_id, price_id, actor_id, idempotency_key, ip_address)
    values (
      p_tenant_id, p_price_id, v_event.actor_id, p_idempotency_key,
      coalesce(private.request_ip(jsonb_build_object('x-real-ip', p_ip_address)), v_event.ip_address)
    )
    returning * into v_click;
  end if;
  return row(
    v_click.id, p_tenant_id, v_tenant.name, v_price.id, v_price.stripe_price_id, v_tenant.stripe_customer_id,
    private.billing_email(p_tenant_id),
    array(
      select c.stripe_session_id from public.checkout_sessions c
      where c.tenant_id = p_tenant_id and c.id <> v_click.id and c.status = 'open' and c.expires_at > now()
      order by c.clicked_at
    )
  );
end
$$;
revoke all on function private.begin_checkout(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_checkout(uuid, text, text, text) to authenticated, service_role;

create function public.begin_checkout(
  tenant_id uuid, price_id text, idempotency_key text default null, ip_address text default null
) returns setof public.checkout
language sql volatile security invoker set search_path = '' as $$ select * from private.begin_checkout($1, $2, $3, $4) $$;
comment on function public.begin_checkout(uuid, text, text, text) is
  'Records that somebody means to buy a price, and returns what Stripe has to be told. The same idempotency key is the same click; open_session_ids are earlier sessions, which must not be paid any more. Needs billing:write.';
revoke all on function public.begin_checkout(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_checkout(uuid, text, text, text) to authenticated, service_role;

create function private.record_checkout_session(p_checkout_id uuid, p_stripe_session_id text, p_expires_at timestamptz)
returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_click public.checkout_sessions;
begin
  select * into v_click from public.checkout_sessions c where c.id = p_checkout_id for update;
  perform private.require_permission(v_click.tenant_id, 'billing:write');
  if v_click.id is null then
    perform private.raise_error(404, 'checkout_not_found', 'There is no such checkout.');
  end if;
  -- Stripe may have told of its end before.
  update public.checkout_sessions c
  set stripe_session_id = p_stripe_session_id, opened_at = now(), expires_at = p_expires_at, status = 'open'
  where c.id = p_checkout_id and c.stripe_session_id is null;
end
$$;
revoke all on function private.record_checkout_session(uuid, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.record_checkout_session(uuid, text, timestamptz) to authenticated, service_role;

create function public.record_checkout_session(checkout_id uuid, stripe_session_id text, expires_at timestamptz) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.record_checkout_session($1, $2, $3) $$;
comment on function public.record_checkout_session(uuid, text, timestamptz) is
  'Says which Stripe session a checkout led to. Needs billing:write.';
revoke all on function public.record_checkout_session(uuid, text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.record_checkout_session(uuid, text, timestamptz) to authenticated, service_role;
