-- The inbox: taking events in, trying again what failed, counting, and finding what never came.
--
-- An event that cannot be applied, because its tenant or price is not known, is `failed`: stored, visible, tried again by the
-- schedule with growing pauses, when what it lacks has come, when Stripe sends it again, and by replay_stripe_event.

set lock_timeout = '5s';
set statement_timeout = '60s';

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
        set is_final = v_latest.is_final, occurred_at = v_latest.occurred_at
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
