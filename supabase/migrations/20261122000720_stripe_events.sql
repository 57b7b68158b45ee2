-- The inbox of Stripe's events: each is stored once under its id, and applied in the same transaction.
--
-- Events come twice, late and in any order. What is applied to an object is always its latest event, chosen from all that
-- have come, so the outcome depends on what came and not on when:
--   1. An event that ends its object (a deletion, a cancelled subscription, a paid or void invoice) is later than any that
--      does not: nothing resurrects what has ended.
--   2. Else a later `created` is later.
--   3. Stripe's clock has seconds. Events of one second are put in a row by what they say of each other: an update's
--      `previous_attributes` are what the event before it left. The row begins with the object as the event before that
--      second left it, or with its creation; what an update does not name it left as it was.
--   4. Where they make no row, because one of them has not come yet: an event that another one follows is earlier; else
--      by kind of event, how far its status has come, attempts to pay, end of the period, id.
-- An event that is not the latest is `stale`. It may have been applied before a later one came.
--
-- What adds up is taken from every event, stale or not: attempts to pay.
--
-- An event that cannot be applied, because its tenant or price is not known, is `failed`: stored, visible, tried again by the
-- schedule with growing pauses, when what it lacks has come, when Stripe sends it again, and by replay_stripe_event.
--
-- Whose an object is: its subscription's tenant if that is known; else the tenant of its Stripe customer; else the tenant_id
-- in its metadata, which only this project's functions set, and which links the customer to the tenant.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.stripe_event_status as enum ('processed', 'stale', 'ignored', 'failed');
create type public.stripe_event_answer as (
  event_id text, type text, status text, tenant_id uuid, plan_id text, previous_plan_id text, is_upgrade boolean,
  error text
);
create type private.applied_event as (tenant_id uuid, previous_plan_id text, plan_id text);
create type public.webhook_count as (type text, outcome text, count bigint);
create type public.billing_kpis as (
  webhooks_received bigint, webhooks_failed bigint, webhook_success_rate numeric, checkout_clicks bigint,
  checkout_sessions bigint, checkouts_completed bigint, checkout_conversion numeric, upgrades bigint,
  upgrade_latency_p50_seconds numeric, upgrade_latency_p95_seconds numeric, upgrade_latency_p99_seconds numeric
);
create type public.stripe_recovery_start as (since timestamptz, types text[]);
create type public.subscription_difference as (
  stripe_subscription_id text, tenant_id uuid, field text, ours text, theirs text
);

create table public.stripe_events (
  id text primary key,
  type text not null,
  object_id text,
  is_final boolean not null,
  occurred_at timestamptz not null,
  api_version text,
  payload jsonb not null,
  status public.stripe_event_status not null default 'failed',
  tenant_id uuid,
  plan_id text,
  previous_plan_id text,
  attempts int not null default 0,
  duplicates int not null default 0,
  last_error text,
  next_attempt_at timestamptz,
  received_at timestamptz not null default now(),
  applied_at timestamptz,
  constraint stripe_events_says_why_it_failed check ((status = 'failed') = (last_error is not null) or attempts = 0)
);
comment on table public.stripe_events is 'Everything that Stripe told, as it came, and what became of it. Written by ingest_stripe_event alone.';
comment on column public.stripe_events.is_final is 'Whether it says that its object has ended.';
comment on column public.stripe_events.occurred_at is 'Stripe''s `created`.';
comment on column public.stripe_events.plan_id is 'The plan that it moved its tenant to, from previous_plan_id.';
comment on column public.stripe_events.duplicates is 'How often it came again.';
comment on column public.stripe_events.next_attempt_at is 'When a failed event is tried again; null once it is left to an operator.';
alter table public.stripe_events enable row level security;
revoke all on public.stripe_events from anon, authenticated, service_role;
grant select on public.stripe_events to authenticated, service_role;
create policy admins_read_stripe_events on public.stripe_events for select to authenticated
  using ((select private.is_platform_admin()));
create index stripe_events_by_object on public.stripe_events (object_id, is_final desc, occurred_at desc);
create index stripe_events_failed on public.stripe_events (next_attempt_at) where status = 'failed';
create index stripe_events_by_age on public.stripe_events (received_at);
create index stripe_events_by_tenant on public.stripe_events (tenant_id, occurred_at desc);

create table private.mirrored_events (
  type text primary key,
  object text not null,
  rank int not null
);
comment on table private.mirrored_events is
  'The types of events that are applied, the object that each is about, and how late it is among those of one second.';
alter table private.mirrored_events enable row level security;

insert into private.mirrored_events (type, object, rank) values
  ('meterbase.subscription.reconciled', 'subscription', 0),
  ('customer.subscription.created', 'subscription', 1),
  ('customer.subscription.updated', 'subscription', 2),
  ('customer.subscription.resumed', 'subscription', 3),
  ('customer.subscription.paused', 'subscription', 4),
  ('customer.subscription.deleted', 'subscription', 5),
  ('invoice.finalized', 'invoice', 1),
  ('invoice.updated', 'invoice', 2),
  ('invoice.payment_action_required', 'invoice', 3),
  ('invoice.payment_failed', 'invoice', 4),
  ('invoice.marked_uncollectible', 'invoice', 5),
  ('invoice.voided', 'invoice', 6),
  ('invoice.paid', 'invoice', 7),
  ('invoice.payment_succeeded', 'invoice', 8),
  ('checkout.session.expired', 'checkout.session', 1),
  ('checkout.session.completed', 'checkout.session', 2),
  ('customer.created', 'customer', 1),
  ('customer.updated', 'customer', 2),
  ('customer.deleted', 'customer', 3);

create table private.stripe_objects (
  object_id text primary key,
  event_id text,
  is_final boolean not null default false,
  occurred_at timestamptz not null default '-infinity'
);
comment on table private.stripe_objects is
  'The event that each object of Stripe stands at, kept when the event itself is forgotten; the row is the object''s lock.';
alter table private.stripe_objects enable row level security;

create table private.stripe_event_counts (
  type text not null,
  outcome text not null,
  shard int not null,
  count bigint not null,
  primary key (type, outcome, shard)
);
comment on table private.stripe_event_counts is
  'How many events came (received), by type, and what became of them. In shards, so that webhooks do not wait for each other.';
alter table private.stripe_event_counts enable row level security;

create table private.stripe_recovery (
  is_only boolean primary key default true,
  recovered_until timestamptz not null,
  constraint stripe_recovery_one_row check (is_only)
);
comment on table private.stripe_recovery is 'Until when Stripe''s own list of events was read completely.';
alter table private.stripe_recovery enable row level security;


-- Reading an event ---------------------------------------------------------------------------------------------------

-- A time as Stripe gives it: seconds since 1970.
create function private.stripe_time(p_seconds text) returns timestamptz
language sql immutable set search_path = '' as $$ select to_timestamp(p_seconds::float8) $$;
revoke all on function private.stripe_time(text) from public, anon, authenticated, service_role;

-- The id of what may be an id or the object itself, expanded.
create function private.stripe_id(p_value jsonb) returns text
language sql immutable set search_path = '' as $$
  select case jsonb_typeof(p_value) when 'object' then p_value ->> 'id' when 'string' then p_value #>> '{}' end
$$;
revoke all on function private.stripe_id(jsonb) from public, anon, authenticated, service_role;

-- Whether an event says that its object has ended.
create function private.ends_object(p_type text, p_object jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select p_type in ('customer.subscription.deleted', 'customer.deleted') or coalesce(case p_object ->> 'object'
    when 'subscription' then p_object ->> 'status' in ('canceled', 'incomplete_expired')
    when 'invoice' then p_object ->> 'status' in ('paid', 'void')
    when 'checkout.session' then p_object ->> 'status' in ('complete', 'expired')
  end, false)
$$;
revoke all on function private.ends_object(text, jsonb) from public, anon, authenticated, service_role;

-- The subscription that an object is, or belongs to; of an invoice in the shape of 2025 and in the older one.
create function private.subscription_of(p_object jsonb) returns text
language sql immutable set search_path = '' as $$
  select case p_object ->> 'object'
    when 'subscription' then p_object ->> 'id'
    else coalesce(
      private.stripe_id(p_object #> '{parent,subscription_details,subscription}'),
      private.stripe_id(p_object -> 'subscription')
    )
  end
$$;
revoke all on function private.subscription_of(jsonb) from public, anon, authenticated, service_role;

-- The same of its customer.
create function private.customer_of(p_object jsonb) returns text
language sql immutable set search_path = '' as $$
  select case p_object ->> 'object' when 'customer' then p_object ->> 'id' else private.stripe_id(p_object -> 'customer') end
$$;
revoke all on function private.customer_of(jsonb) from public, anon, authenticated, service_role;
create index stripe_events_failed_by_customer on public.stripe_events (private.customer_of(payload #> '{data,object}'))
  where status = 'failed';


-- Which event is the latest ------------------------------------------------------------------------------------------

-- Whether p_object is what an event found that changed p_previous: what Stripe calls previous_attributes.
create function private.is_before(p_object jsonb, p_previous jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select p_object @> jsonb_strip_nulls(p_previous)
    and not exists (
      select from jsonb_each(p_previous) p where p.value = 'null' and coalesce(p_object -> p.key, 'null') <> 'null'
    )
$$;
revoke all on function private.is_before(jsonb, jsonb) from public, anon, authenticated, service_role;

-- How far an event's object has come, where nothing else tells: kind of event, status, attempts, end of the period.
create function private.stripe_event_rank(p_type text, p_object jsonb) returns numeric[]
language sql stable security definer set search_path = '' as $$
  select array[
    (select m.rank from private.mirrored_events m where m.type = p_type),
    array_position(array[
      'draft', 'open', 'uncollectible', 'void', 'paid', 'incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused',
      'incomplete_expired', 'canceled'
    ], p_object ->> 'status'),
    (p_object ->> 'attempt_count')::numeric,
    coalesce(p_object ->> 'current_period_end', p_object #>> '{items,data,0,current_period_end}')::numeric
  ]
$$;
revoke all on function private.stripe_event_rank(text, jsonb) from public, anon, authenticated, service_role;

-- The last of events of one object and second, by rules 3 and 4; p_before is the object as they found it, where that is known.
create function private.last_of_second(p_events public.stripe_events[], p_before jsonb) returns public.stripe_events
language plpgsql stable security definer set search_path = '' as $$
declare
  v_last public.stripe_events;
begin
  -- Every row that can be made of them; more than so many are not tried, since their rows could be too many.
  if cardinality(p_events) <= 7 then
    with recursive rows (ids, object) as (
      select array[]::text[], p_before
      union all
      select r.ids || e.id, e.payload #> '{data,object}'
      from rows r
      cross join unnest(p_events) e
      cross join lateral (select e.payload #> '{data,object}', e.payload #> '{data,previous_attributes}') as c (object, previous)
      where e.id <> all (r.ids) and case
        when e.type like '%.created' then r.object is null
        else private.is_before(r.object, c.previous)
          and r.object - array(select jsonb_object_keys(c.previous)) = c.object - array(select jsonb_object_keys(c.previous))
      end
    )
    select e.* into v_last
    from rows r
    join unnest(p_events) e on e.id = r.ids[cardinality(p_events)]
    order by private.stripe_event_rank(e.type, e.payload #> '{data,object}') desc, e.id desc
    limit 1;
    if found then
      return v_last;
    end if;
  end if;

  select e.* into v_last
  from unnest(p_events) e
  order by
    exists (
      select from unnest(p_events) n
      where n.id <> e.id and n.type not like '%.created' and (
        e.type like '%.created' or (
          private.is_before(e.payload #> '{data,object}', n.payload #> '{data,previous_attributes}')
          and private.is_before(n.payload #> '{data,object}', e.payload #> '{data,previous_attributes}') is not true
        )
      )
    ),
    private.stripe_event_rank(e.type, e.payload #> '{data,object}') desc, e.id desc
  limit 1;
  return v_last;
end
$$;
revoke all on function private.last_of_second(public.stripe_events[], jsonb) from public, anon, authenticated, service_role;

-- The latest of the stored events of an object, or of those before a time that do not end it.
create function private.latest_stripe_event(p_object_id text, p_before timestamptz default null)
returns public.stripe_events
language plpgsql stable security definer set search_path = '' as $$
declare
  v_latest public.stripe_events;
  v_same_second public.stripe_events[];
  v_found public.stripe_events;
begin
  select * into v_latest from public.stripe_events e
  where e.object_id = p_object_id and e.status <> 'ignored'
    and (p_before is null or (not e.is_final and e.occurred_at < p_before))
  order by e.is_final desc, e.occurred_at desc
  limit 1;
  v_same_second := array(
    select e from public.stripe_events e
    where e.object_id = p_object_id and e.status <> 'ignored'
      and e.is_final = v_latest.is_final and e.occurred_at = v_latest.occurred_at
  );
  if cardinality(v_same_second) <= 1 then
    return v_latest;
  end if;
  v_found := private.latest_stripe_event(p_object_id, v_latest.occurred_at);
  return private.last_of_second(v_same_second, v_found.payload #> '{data,object}');
end
$$;
revoke all on function private.latest_stripe_event(text, timestamptz) from public, anon, authenticated, service_role;


-- Whose it is --------------------------------------------------------------------------------------------------------

-- Locks what is known of an object of Stripe, and returns it.
create function private.lock_stripe_object(p_object_id text) returns private.stripe_objects
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_mark private.stripe_objects;
begin
  insert into private.stripe_objects (object_id) values (p_object_id) on conflict do nothing;
  select * into v_mark from private.stripe_objects o where o.object_id = p_object_id for update;
  return v_mark;
end
$$;
revoke all on function private.lock_stripe_object(text) from public, anon, authenticated, service_role;

-- The tenant of an object, whose row it locks; and its customer is linked to the tenant, unless that is deleted.
create function private.lock_tenant_of(p_object jsonb) returns public.tenants
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_customer_id text := private.customer_of(p_object);
  v_named text := coalesce(
    p_object #>> '{metadata,tenant_id}', p_object #>> '{parent,subscription_details,metadata,tenant_id}',
    p_object #>> '{subscription_details,metadata,tenant_id}'
  );
  v_mark private.stripe_objects;
  v_tenant public.tenants;
begin
  if v_customer_id is not null then
    v_mark := private.lock_stripe_object(v_customer_id);
  end if;
  select t.* into v_tenant
  from (
    select s.tenant_id as id, 1 as preference from public.subscriptions s
    where s.stripe_subscription_id = private.subscription_of(p_object)
    union all
    select t.id, 2 from public.tenants t where t.stripe_customer_id = v_customer_id
    union all
    select t.id, 3 from public.tenants t
    where t.id = case when v_named ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then v_named::uuid end
  ) c
  join public.tenants t on t.id = c.id
  order by c.preference
  limit 1;
  if not found then
    perform private.raise_error(
      409, 'tenant_unknown', format('No tenant is known for the customer %s.', coalesce(v_customer_id, 'null'))
    );
  end if;
  select * into v_tenant from public.tenants t where t.id = v_tenant.id for no key update;
  if v_tenant.stripe_customer_id is null and v_customer_id is not null and not v_mark.is_final then
    update public.tenants t set stripe_customer_id = v_customer_id where t.id = v_tenant.id returning * into v_tenant;
    -- Those that somebody tries just now need no other attempt, and who waited for them could wait in a circle.
    update public.stripe_events e set next_attempt_at = now()
    where e.id in (
      select f.id from public.stripe_events f
      where f.status = 'failed' and private.customer_of(f.payload #> '{data,object}') = v_customer_id
      for update skip locked
    );
  end if;
  return v_tenant;
end
$$;
revoke all on function private.lock_tenant_of(jsonb) from public, anon, authenticated, service_role;


-- Applying each kind of object ---------------------------------------------------------------------------------------

-- Since when a subscription's payments fail: the first of the events that say so without another between.
create function private.past_due_since(p_subscription_id text) returns timestamptz
language sql stable security definer set search_path = '' as $$
  select min(e.occurred_at)
  from public.stripe_events e
  where e.object_id = p_subscription_id and e.payload #>> '{data,object,status}' = 'past_due'
    and e.occurred_at >= coalesce((
      select max(o.occurred_at) from public.stripe_events o
      where o.object_id = p_subscription_id and not o.is_final and o.payload #>> '{data,object,status}' <> 'past_due'
    ), '-infinity')
$$;
revoke all on function private.past_due_since(text) from public, anon, authenticated, service_role;

-- The tenant's plan follows at once.
create function private.apply_subscription(p_event public.stripe_events) returns private.applied_event
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_tenant public.tenants := private.lock_tenant_of(v_object);
  v_status text := v_object ->> 'status';
  v_old public.subscriptions;
  v_new public.subscriptions;
  v_sold record;
  v_facts jsonb;
begin
  select * into v_old from public.subscriptions s where s.stripe_subscription_id = v_object ->> 'id';
  -- Of several items the one with the greatest plan counts; what is not for a plan is an extra. A subscription
  -- that has ended keeps its price where that is not known any more.
  select i.item, p.id as price_id, p.plan_id, b.grace_days into v_sold
  from jsonb_array_elements(v_object #> '{items,data}') i (item)
  left join private.stripe_prices k on k.stripe_price_id = private.stripe_id(i.item -> 'price')
  join public.plan_prices p on p.id = coalesce(k.price_id, case when p_event.is_final then v_old.price_id end)
  join public.billing_plans b on b.id = p.plan_id
  order by k.price_id is not null desc, b.sort_order desc, p.id
  limit 1;
  if v_sold.price_id is null then
    perform private.raise_error(409, 'price_unknown', format(
      'No price is sold by %s.', coalesce(private.stripe_id(v_object #> '{items,data,0,price}'), 'nothing')
    ));
  end if;

  v_new.tenant_id := v_tenant.id;
  v_new.stripe_subscription_id := v_object ->> 'id';
  v_new.stripe_customer_id := private.customer_of(v_object);
  v_new.stripe_item_id := v_sold.item ->> 'id';
  v_new.price_id := v_sold.price_id;
  v_new.status := v_status;
  -- On the item since 2025, on the subscription before.
  v_new.current_period_start := private.stripe_time(
    coalesce(v_sold.item ->> 'current_period_start', v_object ->> 'current_period_start')
  );
  v_new.current_period_end := private.stripe_time(
    coalesce(v_sold.item ->> 'current_period_end', v_object ->> 'current_period_end')
  );
  v_new.cancel_at := private.stripe_time(v_object ->> 'cancel_at');
  -- Stripe says one and the same in two ways: by the flag, or by a date which is the period's end.
  v_new.cancel_at_period_end := coalesce((v_object ->> 'cancel_at_period_end')::boolean, false)
    or coalesce(v_new.cancel_at = v_new.current_period_end, false);
  v_new.canceled_at := private.stripe_time(v_object ->> 'canceled_at');
  v_new.ended_at := private.stripe_time(v_object ->> 'ended_at');
  v_new.trial_ends_at := private.stripe_time(v_object ->> 'trial_end');
  v_new.past_due_since := case when v_status = 'past_due' then private.past_due_since(v_new.stripe_subscription_id) end;
  v_new.entitled_until := case
    when v_status in ('active', 'trialing', 'past_due') then least(
      v_new.cancel_at, case when v_new.cancel_at_period_end then v_new.current_period_end end,
      v_new.past_due_since + make_interval(days => v_sold.grace_days), 'infinity'
    )
    else '-infinity'
  end;
  v_new.is_in_force := coalesce(v_old.is_in_force, false);
  v_new.created_at := private.stripe_time(v_object ->> 'created');
  v_new.updated_at := now();
  insert into public.subscriptions as s values (v_new.*)
  on conflict (tenant_id, stripe_subscription_id) do update set (
    stripe_customer_id, stripe_item_id, price_id, status, current_period_start, current_period_end, cancel_at_period_end,
    cancel_at, canceled_at, ended_at, trial_ends_at, past_due_since, entitled_until
  ) = (
    excluded.stripe_customer_id, excluded.stripe_item_id, excluded.price_id, excluded.status, excluded.current_period_start,
    excluded.current_period_end, excluded.cancel_at_period_end, excluded.cancel_at, excluded.canceled_at, excluded.ended_at,
    excluded.trial_ends_at, excluded.past_due_since, excluded.entitled_until
  );

  v_facts := jsonb_build_object(
    'stripe_subscription_id', v_new.stripe_subscription_id, 'plan_id', v_sold.plan_id, 'price_id', v_new.price_id,
    'status', v_status, 'current_period_end', v_new.current_period_end, 'cancel_at_period_end', v_new.cancel_at_period_end
  );
  if v_status in ('canceled', 'incomplete_expired') then
    if v_old.status is distinct from v_status and (v_status = 'canceled' or v_old.entitled_until > '-infinity') then
      perform private.send_billing_mail(v_tenant.id, 'subscription_cancelled', v_new.stripe_subscription_id, v_facts);
      perform private.audit(
        v_tenant.id, 'subscription_cancelled', 'cancelled', 'subscription', v_new.stripe_subscription_id, p_new_values => v_facts
      );
    end if;
  elsif v_new.entitled_until > '-infinity' then
    if coalesce(v_old.status, 'incomplete') = 'incomplete' then
      perform private.send_billing_mail(v_tenant.id, 'subscription_created', v_new.stripe_subscription_id, v_facts);
    elsif (v_old.price_id, v_old.cancel_at_period_end, v_old.cancel_at)
      is distinct from (v_new.price_id, v_new.cancel_at_period_end, v_new.cancel_at) then
      perform private.send_billing_mail(v_tenant.id, 'subscription_updated', p_event.id, v_facts);
    end if;
  end if;
  perform private.settle_tenant_credits(v_tenant.id);
  return row(
    v_tenant.id, v_tenant.plan_id,
    (private.follow_subscriptions(v_tenant, jsonb_build_object('stripe_event_id', p_event.id))).plan_id
  );
end
$$;
revoke all on function private.apply_subscription(public.stripe_events) from public, anon, authenticated, service_role;

create function private.apply_invoice(p_event public.stripe_events) returns private.applied_event
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_tenant public.tenants := private.lock_tenant_of(v_object);
begin
  insert into public.invoices (
    tenant_id, stripe_invoice_id, stripe_subscription_id, number, status, billing_reason, currency, total, amount_due,
    amount_paid, amount_remaining, attempt_count, next_payment_attempt_at, period_start, period_end, hosted_invoice_url,
    invoice_pdf, created_at, paid_at
  ) values (
    v_tenant.id, v_object ->> 'id', private.subscription_of(v_object), v_object ->> 'number', v_object ->> 'status',
    v_object ->> 'billing_reason', v_object ->> 'currency', (v_object ->> 'total')::bigint,
    (v_object ->> 'amount_due')::bigint, (v_object ->> 'amount_paid')::bigint, (v_object ->> 'amount_remaining')::bigint,
    coalesce((v_object ->> 'attempt_count')::int, 0), private.stripe_time(v_object ->> 'next_payment_attempt'),
    private.stripe_time(v_object ->> 'period_start'), private.stripe_time(v_object ->> 'period_end'),
    v_object ->> 'hosted_invoice_url', v_object ->> 'invoice_pdf', private.stripe_time(v_object ->> 'created'),
    private.stripe_time(v_object #>> '{status_transitions,paid_at}')
  )
  on conflict (tenant_id, stripe_invoice_id) do update set (
    stripe_subscription_id, number, status, billing_reason, currency, total, amount_due, amount_paid, amount_remaining,
    attempt_count, next_payment_attempt_at, period_start, period_end, hosted_invoice_url, invoice_pdf, paid_at
  ) = (
    excluded.stripe_subscription_id, excluded.number, excluded.status, excluded.billing_reason, excluded.currency,
    excluded.total, excluded.amount_due, excluded.amount_paid, excluded.amount_remaining, excluded.attempt_count,
    excluded.next_payment_attempt_at, excluded.period_start, excluded.period_end, excluded.hosted_invoice_url,
    excluded.invoice_pdf, excluded.paid_at
  );
  if v_object ->> 'status' = 'paid' then
    perform private.add_credit_months(v_tenant.id, v_object);
    perform private.settle_tenant_credits(v_tenant.id);
  end if;
  return row(v_tenant.id, v_tenant.plan_id, v_tenant.plan_id);
end
$$;
revoke all on function private.apply_invoice(public.stripe_events) from public, anon, authenticated, service_role;

-- The Stripe price of a line of an invoice, in the shape of 2025 and in the older one.
create function private.price_of_line(p_line jsonb) returns text
language sql immutable set search_path = '' as $$
  select coalesce(private.stripe_id(p_line #> '{pricing,price_details,price}'), private.stripe_id(p_line -> 'price'))
$$;
revoke all on function private.price_of_line(jsonb) from public, anon, authenticated, service_role;

-- Notes the months of the lines of a paid invoice that are for prices with credits. A free trial's line grants none. A price
-- that is not known yet is made up for when it is.
create function private.add_credit_months(p_tenant_id uuid, p_invoice jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into private.credit_months (
    tenant_id, stripe_line_id, month_start, month_end, stripe_subscription_id, credits, rollover_months
  )
  select p_tenant_id, l.line ->> 'id', m.month_start, m.month_end,
    coalesce(l.line #>> '{parent,subscription_item_details,subscription}', private.subscription_of(p_invoice)),
    m.credits, b.credit_rollover_months
  from jsonb_array_elements(p_invoice #> '{lines,data}') l (line)
  join private.stripe_prices k on k.stripe_price_id = private.price_of_line(l.line)
  join public.plan_prices p on p.id = k.price_id
  join public.billing_plans b on b.id = p.plan_id
  cross join lateral private.months_of_line(
    private.stripe_time(l.line #>> '{period,start}'), private.stripe_time(l.line #>> '{period,end}'), p."interval",
    p.credits_per_month * sign((l.line ->> 'amount')::numeric),
    coalesce(
      l.line #>> '{parent,subscription_item_details,proration}', l.line #>> '{parent,invoice_item_details,proration}',
      l.line ->> 'proration'
    )::boolean
  ) m
  where p.credits_per_month > 0 and (l.line ->> 'amount')::numeric <> 0 and private.subscription_of(p_invoice) is not null
  on conflict do nothing;
end
$$;
revoke all on function private.add_credit_months(uuid, jsonb) from public, anon, authenticated, service_role;

-- Makes up for what was sold by a Stripe price before it was known: the credits of invoices, and the events that failed.
create function private.apply_stripe_price() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_invoice record;
begin
  for v_invoice in
    select distinct on (e.object_id) i.tenant_id, e.payload #> '{data,object}' as object
    from public.stripe_events e
    join public.invoices i on i.stripe_invoice_id = e.object_id
    where e.payload #>> '{data,object,status}' = 'paid' and exists (
      select from jsonb_array_elements(e.payload #> '{data,object,lines,data}') l (line)
      where private.price_of_line(l.line) = new.stripe_price_id
    )
    order by e.object_id
  loop
    perform private.add_credit_months(v_invoice.tenant_id, v_invoice.object);
    perform private.settle_tenant_credits(v_invoice.tenant_id);
  end loop;
  update public.stripe_events e set next_attempt_at = now() where e.status = 'failed' and e.last_error like 'price_unknown%';
  return null;
end
$$;
revoke all on function private.apply_stripe_price() from public, anon, authenticated, service_role;
create trigger apply_stripe_price after insert or update on private.stripe_prices
  for each row execute function private.apply_stripe_price();

-- Books what a tenant's credits lack; a tenant that never had any needs no account.
create function private.settle_tenant_credits(p_tenant_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  if exists (select from private.credit_months m where m.tenant_id = p_tenant_id) then
    perform private.lock_credit_account(p_tenant_id);
    perform private.settle_credits(p_tenant_id, private.booking_time(p_tenant_id));
  end if;
end
$$;
revoke all on function private.settle_tenant_credits(uuid) from public, anon, authenticated, service_role;

-- The attempt to pay that an event of an invoice tells of, if any: recorded and audited once, and the owners hear of it.
create function private.record_payment(p_event public.stripe_events) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_invoice public.invoices;
  v_payment public.payments;
  v_facts jsonb;
begin
  select * into v_invoice from public.invoices i where i.stripe_invoice_id = p_event.object_id;
  v_payment.status := case p_event.type when 'invoice.payment_failed' then 'failed' else 'succeeded' end::public.payment_status;
  v_payment.amount := (v_object ->> case v_payment.status when 'failed' then 'amount_remaining' else 'amount_paid' end)::bigint;
  if p_event.type not in ('invoice.payment_failed', 'invoice.paid', 'invoice.payment_succeeded') or v_payment.amount = 0 then
    return;
  end if;
  v_payment.tenant_id := v_invoice.tenant_id;
  v_payment.stripe_invoice_id := v_invoice.stripe_invoice_id;
  v_payment.attempt := coalesce((v_object ->> 'attempt_count')::int, 0);
  v_payment.stripe_payment_id := coalesce(
    private.stripe_id(v_object -> 'charge'), private.stripe_id(v_object -> 'payment_intent'),
    private.stripe_id(v_object #> '{payments,data,0,payment,charge}'),
    private.stripe_id(v_object #> '{payments,data,0,payment,payment_intent}'), v_invoice.stripe_invoice_id
  );
  v_payment.currency := v_object ->> 'currency';
  v_payment.occurred_at := case v_payment.status when 'succeeded' then
    private.stripe_time(v_object #>> '{status_transitions,paid_at}')
  end;
  v_payment.occurred_at := coalesce(v_payment.occurred_at, p_event.occurred_at);
  insert into public.payments values (v_payment.*) on conflict do nothing;
  if not found then
    return;
  end if;

  v_facts := to_jsonb(v_payment) - 'tenant_id' || jsonb_build_object(
    'number', v_invoice.number, 'hosted_invoice_url', v_invoice.hosted_invoice_url,
    'next_payment_attempt_at', v_invoice.next_payment_attempt_at
  );
  perform private.audit(
    v_payment.tenant_id, 'payment_' || v_payment.status, v_payment.status::text, 'payment', v_payment.stripe_payment_id,
    p_new_values => v_facts,
    p_severity => case v_payment.status when 'failed' then 'error' else 'info' end::public.audit_severity,
    p_result => case v_payment.status when 'failed' then 'failure' else 'success' end::public.audit_result
  );
  -- That an attempt failed is no news once the invoice is paid.
  if v_payment.status = 'succeeded' or v_invoice.status <> 'paid' then
    perform private.send_billing_mail(
      v_payment.tenant_id, 'payment_' || v_payment.status, v_payment.stripe_invoice_id || ':' || v_payment.attempt, v_facts
    );
  end if;
end
$$;
revoke all on function private.record_payment(public.stripe_events) from public, anon, authenticated, service_role;

create function private.apply_checkout_session(p_event public.stripe_events) returns private.applied_event
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_tenant public.tenants := private.lock_tenant_of(v_object);
  v_is_complete boolean := v_object ->> 'status' = 'complete';
begin
  update public.checkout_sessions c
  set status = case when v_is_complete then 'completed' else 'expired' end::public.checkout_status,
    completed_at = case when v_is_complete then p_event.occurred_at end,
    stripe_session_id = coalesce(c.stripe_session_id, p_event.object_id),
    opened_at = coalesce(c.opened_at, private.stripe_time(v_object ->> 'created'))
  where c.tenant_id = v_tenant.id
    and (c.id::text = v_object #>> '{metadata,checkout_id}' or c.stripe_session_id = p_event.object_id);
  return row(v_tenant.id, v_tenant.plan_id, v_tenant.plan_id);
end
$$;
revoke all on function private.apply_checkout_session(public.stripe_events) from public, anon, authenticated, service_role;

-- A customer that names its tenant is linked to it; one that is deleted is nobody's any more.
create function private.apply_customer(p_event public.stripe_events) returns private.applied_event
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_tenant public.tenants;
begin
  if p_event.is_final then
    update public.tenants t set stripe_customer_id = null where t.stripe_customer_id = p_event.object_id
    returning * into v_tenant;
  elsif v_object #>> '{metadata,tenant_id}' is not null then
    v_tenant := private.lock_tenant_of(v_object);
  end if;
  return row(v_tenant.id, v_tenant.plan_id, v_tenant.plan_id);
end
$$;
revoke all on function private.apply_customer(public.stripe_events) from public, anon, authenticated, service_role;


-- The inbox ----------------------------------------------------------------------------------------------------------

-- Applies a stored event, whose row is locked, and says what became of it. What fails leaves nothing but its reason.
create function private.apply_stripe_event(p_event public.stripe_events) returns public.stripe_event_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_kind text := (select m.object from private.mirrored_events m where m.type = p_event.type);
  v_status text := 'ignored';
  v_mark private.stripe_objects;
  v_latest public.stripe_events;
  v_applied private.applied_event;
  v_reason text;
  v_error text;
begin
  if v_kind is not null and p_event.object_id is not null then
    begin
      v_mark := private.lock_stripe_object(p_event.object_id);
      v_latest := private.latest_stripe_event(p_event.object_id);
      v_status := case when v_latest.id = p_event.id then 'processed' else 'stale' end;
      if (v_latest.is_final, v_latest.occurred_at) < (v_mark.is_final, v_mark.occurred_at) then
        v_status := 'stale'; -- than an event that is forgotten
      else
        v_applied := case v_kind
          when 'subscription' then private.apply_subscription(v_latest)
          when 'invoice' then private.apply_invoice(v_latest)
          when 'checkout.session' then private.apply_checkout_session(v_latest)
          when 'customer' then private.apply_customer(v_latest)
        end;
        if v_applied.plan_id = v_applied.previous_plan_id then
          v_applied.plan_id := null;
          v_applied.previous_plan_id := null;
        end if;
        update private.stripe_objects o
        set event_id = v_latest.id, is_final = v_latest.is_final, occurred_at = v_latest.occurred_at
        where o.object_id = p_event.object_id;
        update public.stripe_events e
        set status = 'processed', last_error = null, next_attempt_at = null, applied_at = clock_timestamp(),
          tenant_id = v_applied.tenant_id,
          plan_id = coalesce(v_applied.plan_id, e.plan_id),
          previous_plan_id = coalesce(v_applied.previous_plan_id, e.previous_plan_id)
        where e.id = v_latest.id and (e.status <> 'processed' or v_applied.plan_id is not null);
      end if;
      if v_kind = 'invoice' then
        perform private.record_payment(v_latest);
        perform private.record_payment(p_event);
      end if;
    exception when others then
      -- Of two that waited for each other one begins anew: Stripe sends it again, the schedule comes again.
      if sqlstate in ('40P01', '40001', '55P03') then
        raise;
      end if;
      get stacked diagnostics v_reason = pg_exception_hint, v_error = message_text;
      v_status := 'failed';
      v_applied := null;
      v_error := case when sqlstate like 'PT%' then v_reason else sqlstate end || ': ' || v_error;
    end;
  end if;
  update public.stripe_events e
  set status = v_status::public.stripe_event_status, attempts = e.attempts + 1, last_error = v_error,
    tenant_id = coalesce(v_applied.tenant_id, e.tenant_id),
    applied_at = case when v_status in ('processed', 'stale') then clock_timestamp() end,
    next_attempt_at = case when v_status = 'failed' and e.attempts < 20 then
      now() + least(interval '1 minute' * 2 ^ e.attempts, interval '6 hours')
    end
  where e.id = p_event.id;
  return row(
    p_event.id, p_event.type, v_status, v_applied.tenant_id, v_applied.plan_id, v_applied.previous_plan_id,
    coalesce((
      select n.sort_order > o.sort_order from public.billing_plans n, public.billing_plans o
      where n.id = v_applied.plan_id and o.id = v_applied.previous_plan_id
    ), false),
    v_error
  );
end
$$;
revoke all on function private.apply_stripe_event(public.stripe_events) from public, anon, authenticated, service_role;

-- Counts what became of an event, last in its transaction: whoever counts in the same shard waits until that ends.
create function private.count_stripe_event(p_type text, p_outcomes text[], p_shard int) returns void
language sql volatile security definer set search_path = '' as $$
  insert into private.stripe_event_counts as c (type, outcome, shard, count)
  select p_type, o.outcome, p_shard, 1 from unnest(p_outcomes) as o (outcome) order by o.outcome
  on conflict (type, outcome, shard) do update set count = c.count + 1
$$;
revoke all on function private.count_stripe_event(text, text[], int) from public, anon, authenticated, service_role;

-- The shard of a session, so that few share one.
create function private.stripe_event_shard() returns int
language sql stable set search_path = '' as $$ select pg_backend_pid() % 64 $$;
revoke all on function private.stripe_event_shard() from public, anon, authenticated, service_role;

create function private.ingest_stripe_event(p_event jsonb) returns public.stripe_event_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_object jsonb := p_event #> '{data,object}';
  v_event public.stripe_events;
  v_answer public.stripe_event_answer;
  v_is_new boolean;
begin
  if coalesce(
    char_length(p_event ->> 'id') not between 1 and 255 or char_length(p_event ->> 'type') not between 1 and 255
      or jsonb_typeof(p_event -> 'id') <> 'string' or jsonb_typeof(p_event -> 'type') <> 'string'
      or jsonb_typeof(p_event -> 'created') <> 'number' or (p_event ->> 'created')::numeric not between 0 and 1e11
      or jsonb_typeof(v_object) <> 'object', true
  ) then
    perform private.raise_error(400, 'invalid_event', 'That is no event of Stripe: it needs id, type, created and data.object.');
  end if;
  insert into public.stripe_events (id, type, object_id, is_final, occurred_at, api_version, payload)
  values (
    p_event ->> 'id', p_event ->> 'type', v_object ->> 'id', private.ends_object(p_event ->> 'type', v_object),
    private.stripe_time(p_event ->> 'created'), p_event ->> 'api_version', p_event
  )
  on conflict (id) do nothing
  returning * into v_event;
  v_is_new := found;
  if not v_is_new then
    update public.stripe_events e set duplicates = e.duplicates + 1 where e.id = p_event ->> 'id' returning * into v_event;
  end if;
  if v_is_new or v_event.status = 'failed' then
    v_answer := private.apply_stripe_event(v_event);
  else
    v_answer := row(v_event.id, v_event.type, 'duplicate', v_event.tenant_id, null, null, false, null);
  end if;
  perform private.count_stripe_event(v_event.type, array['received', v_answer.status], private.stripe_event_shard());
  return v_answer;
end
$$;
revoke all on function private.ingest_stripe_event(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.ingest_stripe_event(jsonb) to service_role;

create function public.ingest_stripe_event(event jsonb) returns setof public.stripe_event_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.ingest_stripe_event($1) $$;
comment on function public.ingest_stripe_event(jsonb) is
  'Stores an event of Stripe and applies it: processed, duplicate, stale, ignored, or failed (kept, and tried again). Its signature is checked before. Service role.';
revoke all on function public.ingest_stripe_event(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.ingest_stripe_event(jsonb) to service_role;

create function private.replay_stripe_event(p_event_id text) returns public.stripe_event_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_event public.stripe_events;
  v_answer public.stripe_event_answer;
begin
  perform private.require_platform_admin();
  select * into v_event from public.stripe_events e where e.id = p_event_id for update;
  if not found then
    perform private.raise_error(404, 'event_not_found', 'There is no such event.');
  end if;
  v_answer := private.apply_stripe_event(v_event);
  perform private.count_stripe_event(v_event.type, array[v_answer.status], private.stripe_event_shard());
  return v_answer;
end
$$;
revoke all on function private.replay_stripe_event(text) from public, anon, authenticated, service_role;
grant execute on function private.replay_stripe_event(text) to authenticated, service_role;

create function public.replay_stripe_event(event_id text) returns setof public.stripe_event_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.replay_stripe_event($1) $$;
comment on function public.replay_stripe_event(text) is
  'Applies a stored event again; where a later one of its object has come, that one. Platform admins.';
revoke all on function public.replay_stripe_event(text) from public, anon, authenticated, service_role;
grant execute on function public.replay_stripe_event(text) to authenticated, service_role;

-- Locks the objects of several events: before any customer and tenant, as whoever applies one event does, and customers last.
create function private.lock_stripe_objects(p_object_ids text[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.lock_stripe_object(o.id)
  from (select id from unnest(p_object_ids) id where id is not null group by id order by id like 'cus_%', id) o;
end
$$;
revoke all on function private.lock_stripe_objects(text[]) from public, anon, authenticated, service_role;

-- Tries the failed events that are due again, and says how many were applied.
create function private.retry_stripe_events() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_events public.stripe_events[];
  v_event public.stripe_events;
  v_answer public.stripe_event_answer;
  v_applied int := 0;
begin
  perform pg_advisory_xact_lock(hashtext('meterbase.retry_stripe_events'));
  v_events := array(
    select e from public.stripe_events e
    where e.status = 'failed' and e.next_attempt_at <= now()
    order by e.next_attempt_at, e.id
    limit 200
    for update skip locked
  );
  perform private.lock_stripe_objects(array(select e.object_id from unnest(v_events) e));
  foreach v_event in array v_events loop
    v_answer := private.apply_stripe_event(v_event);
    perform private.count_stripe_event(v_event.type, array[v_answer.status], -1);
    v_applied := v_applied + (v_answer.status <> 'failed')::int;
  end loop;
  return v_applied;
end
$$;
revoke all on function private.retry_stripe_events() from public, anon, authenticated, service_role;

-- Forgets the events that came longer than p_keep ago, but for those that are still tried, and says how many. What their objects stand at
-- is kept.
create function private.cleanup_old_stripe_events(p_keep interval default '90 days') returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_deleted int;
begin
  delete from public.stripe_events e
  where e.received_at < now() - p_keep and (e.status <> 'failed' or e.next_attempt_at is null);
  get diagnostics v_deleted = row_count;
  return v_deleted;
end
$$;
revoke all on function private.cleanup_old_stripe_events(interval) from public, anon, authenticated, service_role;


-- What never gets into the inbox -------------------------------------------------------------------------------------

create function private.count_webhook_rejection(p_reason text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_reason is null or p_reason !~ '^[a-z_]{1,63}$' then
    perform private.raise_error(400, 'invalid_reason', 'A reason is a word such as signature_invalid.');
  end if;
  perform private.count_stripe_event('unknown', array[p_reason], private.stripe_event_shard());
end
$$;
revoke all on function private.count_webhook_rejection(text) from public, anon, authenticated, service_role;
grant execute on function private.count_webhook_rejection(text) to service_role;

create function public.count_webhook_rejection(reason text) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.count_webhook_rejection($1) $$;
comment on function public.count_webhook_rejection(text) is
  'Counts a webhook that was refused unread, such as signature_invalid; nothing else is kept of it. Service role.';
revoke all on function public.count_webhook_rejection(text) from public, anon, authenticated, service_role;
grant execute on function public.count_webhook_rejection(text) to service_role;

create function private.get_webhook_counts() returns setof public.webhook_count
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_platform_admin();
  return query
    select c.type, c.outcome, sum(c.count)::bigint from private.stripe_event_counts c group by 1, 2 order by 1, 2;
end
$$;
revoke all on function private.get_webhook_counts() from public, anon, authenticated, service_role;
grant execute on function private.get_webhook_counts() to authenticated, service_role;

create function public.get_webhook_counts() returns setof public.webhook_count
language sql stable security invoker set search_path = '' as $$ select * from private.get_webhook_counts() $$;
comment on function public.get_webhook_counts() is
  'How many webhooks came, by type (received), and what became of them (processed, duplicate, stale, ignored, failed); of type unknown those that were refused, by reason. Since the beginning. Platform admins.';
revoke all on function public.get_webhook_counts() from public, anon, authenticated, service_role;
grant execute on function public.get_webhook_counts() to authenticated, service_role;

create function private.get_billing_kpis(p_from timestamptz, p_to timestamptz) returns public.billing_kpis
language plpgsql stable security definer set search_path = '' as $$
declare
  v_kpis public.billing_kpis;
begin
  perform private.require_platform_admin();
  select count(*) + coalesce(sum(e.duplicates), 0), count(*) filter (where e.status = 'failed')
  into v_kpis.webhooks_received, v_kpis.webhooks_failed
  from public.stripe_events e
  where e.received_at >= p_from and e.received_at < p_to and e.type not like 'meterbase.%';
  v_kpis.webhook_success_rate := round(1 - v_kpis.webhooks_failed::numeric / nullif(v_kpis.webhooks_received, 0), 4);
  select count(*), count(c.opened_at), count(c.completed_at)
  into v_kpis.checkout_clicks, v_kpis.checkout_sessions, v_kpis.checkouts_completed
  from public.checkout_sessions c where c.clicked_at >= p_from and c.clicked_at < p_to;
  v_kpis.checkout_conversion := round(v_kpis.checkouts_completed::numeric / nullif(v_kpis.checkout_clicks, 0), 4);
  select p.upgrades, round((p.latencies)[1]::numeric, 3), round((p.latencies)[2]::numeric, 3), round((p.latencies)[3]::numeric, 3)
  into v_kpis.upgrades, v_kpis.upgrade_latency_p50_seconds, v_kpis.upgrade_latency_p95_seconds,
    v_kpis.upgrade_latency_p99_seconds
  from (
    select count(*) as upgrades, percentile_cont(array[0.5, 0.95, 0.99]) within group (
      order by extract(epoch from e.applied_at - e.occurred_at)::float8
    ) as latencies
    from public.stripe_events e
    join public.billing_plans n on n.id = e.plan_id
    join public.billing_plans o on o.id = e.previous_plan_id
    where e.received_at >= p_from and e.received_at < p_to and n.sort_order > o.sort_order
  ) p;
  return v_kpis;
end
$$;
revoke all on function private.get_billing_kpis(timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.get_billing_kpis(timestamptz, timestamptz) to authenticated, service_role;

create function public.get_billing_kpis(from_ts timestamptz, to_ts timestamptz) returns setof public.billing_kpis
language sql stable security invoker set search_path = '' as $$ select * from private.get_billing_kpis($1, $2) $$;
comment on function public.get_billing_kpis(timestamptz, timestamptz) is
  'Webhooks and how many of them are failed, the checkout funnel, and how long upgrades took from Stripe''s `created` to the limits in force, in [from_ts, to_ts). Rates are shares of 1. Platform admins.';
revoke all on function public.get_billing_kpis(timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.get_billing_kpis(timestamptz, timestamptz) to authenticated, service_role;


-- Gaps and differences -----------------------------------------------------------------------------------------------

-- Which of Stripe's events have to be listed: since its list was read completely, with a margin for clocks; the first time,
-- since the last event that came, at most the 30 days that Stripe keeps them.
create function private.begin_stripe_recovery() returns public.stripe_recovery_start
language plpgsql stable security definer set search_path = '' as $$
begin
  return row(
    greatest(
      coalesce(
        (select r.recovered_until from private.stripe_recovery r),
        (
          select least(max(e.occurred_at), now()) from public.stripe_events e
          where e.type not like 'meterbase.%'
          having count(*) > 0
        )
      ) - interval '10 minutes',
      now() - interval '30 days'
    ),
    array(select m.type from private.mirrored_events m where m.type not like 'meterbase.%' order by m.type)
  );
end
$$;
revoke all on function private.begin_stripe_recovery() from public, anon, authenticated, service_role;
grant execute on function private.begin_stripe_recovery() to service_role;

create function public.begin_stripe_recovery() returns setof public.stripe_recovery_start
language sql stable security invoker set search_path = '' as $$ select * from private.begin_stripe_recovery() $$;
comment on function public.begin_stripe_recovery() is
  'From which time on Stripe''s events, and of which types, have to be listed and ingested to close every gap. Service role.';
revoke all on function public.begin_stripe_recovery() from public, anon, authenticated, service_role;
grant execute on function public.begin_stripe_recovery() to service_role;

create function private.get_unknown_stripe_events(p_event_ids text[]) returns setof text
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select u.id from unnest(p_event_ids) with ordinality u (id, ordinal)
    where not exists (select from public.stripe_events e where e.id = u.id)
    order by u.ordinal;
end
$$;
revoke all on function private.get_unknown_stripe_events(text[]) from public, anon, authenticated, service_role;
grant execute on function private.get_unknown_stripe_events(text[]) to service_role;

create function public.get_unknown_stripe_events(event_ids text[]) returns setof text
language sql stable security invoker set search_path = '' as $$ select * from private.get_unknown_stripe_events($1) $$;
comment on function public.get_unknown_stripe_events(text[]) is 'Those of the events that never came, in their order. Service role.';
revoke all on function public.get_unknown_stripe_events(text[]) from public, anon, authenticated, service_role;
grant execute on function public.get_unknown_stripe_events(text[]) to service_role;

create function private.complete_stripe_recovery(p_until timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_until is null or p_until > now() + interval '10 minutes' then
    perform private.raise_error(400, 'invalid_until', 'The events of the future cannot have been read.');
  end if;
  insert into private.stripe_recovery as r (recovered_until) values (p_until)
  on conflict (is_only) do update set recovered_until = greatest(r.recovered_until, excluded.recovered_until);
end
$$;
revoke all on function private.complete_stripe_recovery(timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.complete_stripe_recovery(timestamptz) to service_role;

create function public.complete_stripe_recovery(until timestamptz) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.complete_stripe_recovery($1) $$;
comment on function public.complete_stripe_recovery(timestamptz) is
  'Says that all events until then were ingested. Service role.';
revoke all on function public.complete_stripe_recovery(timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.complete_stripe_recovery(timestamptz) to service_role;

create function private.reconcile_subscriptions(p_subscriptions jsonb, p_fetched_at timestamptz, p_is_last boolean)
returns setof public.subscription_difference
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_second numeric := floor(extract(epoch from p_fetched_at));
  v_object jsonb;
  v_event_id text;
  v_ours public.subscriptions;
  v_theirs public.subscriptions;
  v_answer public.stripe_event_answer;
  v_difference public.subscription_difference;
  v_fields jsonb;
begin
  perform private.lock_stripe_objects(array(select s.value ->> 'id' from jsonb_array_elements(p_subscriptions) s));
  for v_object in select s.value from jsonb_array_elements(p_subscriptions) s order by s.value ->> 'id' loop
    v_event_id := format('reconciled_%s_%s', v_object ->> 'id', v_second);
    select * into v_ours from public.subscriptions s where s.stripe_subscription_id = v_object ->> 'id';
    v_answer := private.ingest_stripe_event(jsonb_build_object(
      'id', v_event_id, 'type', 'meterbase.subscription.reconciled', 'created', v_second,
      'data', jsonb_build_object('object', v_object)
    ));
    select * into v_theirs from public.subscriptions s where s.stripe_subscription_id = v_object ->> 'id';
    v_fields := case
      when v_answer.status = 'failed' then jsonb_build_object('error', jsonb_build_array(null, v_answer.error))
      when v_ours.tenant_id is null then jsonb_build_object('subscription', jsonb_build_array(null, v_theirs.status))
      else (
        select jsonb_object_agg(o.key, jsonb_build_array(o.value, to_jsonb(v_theirs) -> o.key))
        from jsonb_each(to_jsonb(v_ours) - array['updated_at', 'is_in_force', 'entitled_until', 'past_due_since']) o
        where o.value <> to_jsonb(v_theirs) -> o.key
      )
    end;
    if v_theirs.tenant_id is not null and v_fields is not null then
      perform private.audit(
        v_theirs.tenant_id, 'subscription_reconciled', 'reconciled', 'subscription', v_object ->> 'id',
        p_new_values => v_fields, p_severity => 'warning'
      );
    end if;
    -- What changed nothing need not be kept: every night brings a new one.
    if v_fields is null or v_answer.status = 'failed' then
      delete from public.stripe_events e where e.id = v_event_id;
    end if;
    for v_difference in
      select v_object ->> 'id', v_theirs.tenant_id, f.key, f.value ->> 0, f.value ->> 1 from jsonb_each(v_fields) f order by f.key
    loop
      return next v_difference;
    end loop;
  end loop;
  if p_is_last then
    return query
      select s.stripe_subscription_id, s.tenant_id, 'missing', s.status, null::text
      from public.subscriptions s
      left join private.stripe_objects o on o.object_id = s.stripe_subscription_id
      where s.status not in ('canceled', 'incomplete_expired')
        and s.created_at < p_fetched_at and coalesce(o.occurred_at, '-infinity') < to_timestamp(v_second)
      order by s.stripe_subscription_id;
  end if;
end
$$;
revoke all on function private.reconcile_subscriptions(jsonb, timestamptz, boolean)
  from public, anon, authenticated, service_role;
grant execute on function private.reconcile_subscriptions(jsonb, timestamptz, boolean) to service_role;

create function public.reconcile_subscriptions(subscriptions jsonb, fetched_at timestamptz, is_last boolean default true)
returns setof public.subscription_difference
language sql volatile security invoker set search_path = '' as $$ select * from private.reconcile_subscriptions($1, $2, $3) $$;
comment on function public.reconcile_subscriptions(jsonb, timestamptz, boolean) is
  'Compares subscriptions as Stripe has them, a page of those fetched at one time, with ours, takes Stripe''s over, and returns and audits what differed; with the last page also ours that have not ended and were on none (missing). Service role.';
revoke all on function public.reconcile_subscriptions(jsonb, timestamptz, boolean) from public, anon, authenticated, service_role;
grant execute on function public.reconcile_subscriptions(jsonb, timestamptz, boolean) to service_role;
