-- Stripe's events: each is stored once under its id, and applied in the same transaction; and which of several is the latest.
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
  is_final boolean not null default false,
  occurred_at timestamptz not null default '-infinity'
);
comment on table private.stripe_objects is
  'Where each object of Stripe stands: when its latest event was, and whether that ended it; kept when the event is forgotten. The row is the object''s lock.';
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
