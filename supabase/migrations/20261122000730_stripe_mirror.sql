-- What events of Stripe do to the objects that they are about: subscriptions, invoices, checkouts, customers.
--
-- Whose an object is: its subscription's tenant if that is known; else the tenant of its Stripe customer; else the tenant_id
-- in its metadata, which only this project's functions set, and which links the customer to the tenant.

set lock_timeout = '5s';
set statement_timeout = '60s';

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
