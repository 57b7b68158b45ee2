-- Reservations: quota taken for work whose amount is known later.
--
-- Open until settled, released or expired. What an extension comes after counts as spent: only the last increment is given
-- back when the reservation expires. The id is what authorises to extend, settle or release one.
--
-- Order of locks: as the quota domain says, reservations first.

set lock_timeout = '5s';
set statement_timeout = '60s';

create function private.reserve_quota(
  p_tenant_id uuid, p_metric text, p_amount bigint, p_subject text, p_ttl_seconds int, p_key text, p_event jsonb
) returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_subject text := private.taking_subject(p_tenant_id, p_metric, p_subject);
  v_at timestamptz;
begin
  perform private.check_amounts(array[p_amount]);
  if p_ttl_seconds is null or p_ttl_seconds not between 1 and 86400 then
    perform private.raise_error(400, 'invalid_ttl', 'A reservation is held for 1 to 86400 seconds.');
  end if;
  if octet_length(p_event::text) > 32768 then
    perform private.raise_error(400, 'too_large', 'The event of a reservation has at most 32 kB.');
  end if;
  if p_event is not null then
    v_at := private.tenant_now(p_tenant_id);
    p_event := jsonb_build_object('event_timestamp', v_at) || private.with_amount(p_event, p_metric, p_amount);
    perform private.check_event(p_event, v_at);
  end if;
  return (private.grant_quota(
    p_tenant_id, p_metric, v_subject, array[p_amount], array[p_key], make_interval(secs => p_ttl_seconds), p_event
  ))[1];
end
$$;
revoke all on function private.reserve_quota(uuid, text, bigint, text, int, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function private.reserve_quota(uuid, text, bigint, text, int, text, jsonb) to authenticated, service_role;

create function public.reserve_quota(
  tenant_id uuid, metric text, amount bigint, subject text default null, ttl_seconds int default 300,
  idempotency_key text default null, event jsonb default null
) returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.reserve_quota($1, $2, $3, $4, $5, $6, $7) $$;
comment on function public.reserve_quota(uuid, text, bigint, text, int, text, jsonb) is
  'Takes an amount for work whose real amount is known later; settle or release it by its reservation_id. event is the usage event to record when it is settled without another, or expires with something spent. Needs usage:write.';
revoke all on function public.reserve_quota(uuid, text, bigint, text, int, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.reserve_quota(uuid, text, bigint, text, int, text, jsonb) to authenticated, service_role;

-- A usage event of an amount of a metric.
create function private.with_amount(p_event jsonb, p_metric text, p_amount bigint) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return p_event || jsonb_build_object(case p_metric when 'tokens' then 'tokens_consumed' else 'quantity' end, p_amount);
end
$$;
revoke all on function private.with_amount(jsonb, text, bigint) from public, anon, authenticated, service_role;

-- A reservation, locked; PT404 or PT409 unless it is open. One whose time is over is open until it is swept: what was
-- really used is better counted late than not.
create function private.open_reservation(p_id uuid) returns private.quota_reservations
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_reservation private.quota_reservations;
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
  return v_reservation;
end
$$;
revoke all on function private.open_reservation(uuid) from public, anon, authenticated, service_role;

create function private.extend_reservation(p_id uuid, p_amount bigint) returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_reservation private.quota_reservations;
  v_take private.quota_take;
begin
  perform private.check_amounts(array[p_amount]);
  v_reservation := private.open_reservation(p_id);
  v_take := private.take_quota(
    v_reservation.tenant_id, v_reservation.metric, v_reservation.subject, array[p_amount]
  );
  update private.quota_reservations r
  set spent = r.amount,
      amount = r.amount + v_take.taken,
      -- A window that has rolled since holds only what it has got now.
      holds = array(
        select row(h.period, h.subject, max(h.window_start), sum(h.amount))::private.quota_hold
        from (
          select o.*, max(o.window_start) over (partition by o.period, o.subject) as latest
          from unnest(r.holds || private.quota_holds(v_take.windows, v_take.taken)) o
        ) h
        where h.window_start = h.latest
        group by h.period, h.subject
        order by h.period, h.subject
      ),
      expires_at = private.tenant_now(r.tenant_id) + r.ttl
  where r.id = p_id;
  return row((v_take.answers[1]).*, p_id);
end
$$;
revoke all on function private.extend_reservation(uuid, bigint) from public, anon, authenticated, service_role;
grant execute on function private.extend_reservation(uuid, bigint) to anon, authenticated, service_role;

create function public.extend_reservation(reservation_id uuid, amount bigint) returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.extend_reservation($1, $2) $$;
comment on function public.extend_reservation(uuid, bigint) is
  'Declares what a reservation holds spent, takes an amount more for it, and renews its time; a denial leaves it as large as it was. The id authorises.';
revoke all on function public.extend_reservation(uuid, bigint) from public, anon, authenticated, service_role;
grant execute on function public.extend_reservation(uuid, bigint) to anon, authenticated, service_role;

-- Ends an open reservation as p_status with p_actual really used, and returns where its metric stands then.
create function private.close_reservation(p_id uuid, p_status text, p_actual bigint, p_event jsonb)
returns public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_reservation private.quota_reservations := private.open_reservation(p_id);
  v_tenant_id uuid := v_reservation.tenant_id;
  v_metric text := v_reservation.metric;
  v_subject text := v_reservation.subject;
  v_windows private.quota_window[];
  v_answer public.quota_answer;
begin
  update private.quota_reservations set status = p_status, closed_at = now() where id = p_id;
  if p_actual < v_reservation.amount then
    perform private.give_back(v_tenant_id, v_metric, v_reservation.holds, v_reservation.amount - p_actual);
  elsif p_actual > v_reservation.amount then
    perform private.add_quota(
      v_tenant_id, v_metric, private.quota_windows(v_tenant_id, v_metric, v_subject), p_actual - v_reservation.amount
    );
  end if;
  p_event := case
    when p_event is not null then private.with_amount('{}', v_metric, p_actual) || p_event
    when p_status = 'settled' then private.with_amount(v_reservation.event, v_metric, p_actual)
  end;
  if p_event is not null then
    perform private.record_all_events(
      v_tenant_id, v_subject, jsonb_build_array(p_event), private.tenant_now(v_tenant_id)
    );
  end if;

  v_windows := private.quota_windows(v_tenant_id, v_metric, v_subject);
  v_answer := private.quota_answer(v_metric, private.tightest_window(v_windows, 0, true), true);
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

-- Settles several in one transaction.
create function private.settle_reservations(p_settlements jsonb) returns setof public.reservation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_group record;
  v_item jsonb;
begin
  if p_settlements is null or jsonb_typeof(p_settlements) <> 'array' or jsonb_array_length(p_settlements) > 100 then
    perform private.raise_error(400, 'invalid_settlements', 'Settlements are a JSON array of at most 100 objects.');
  end if;
  perform from private.quota_reservations r
  where r.id in (select (s ->> 'reservation_id')::uuid from jsonb_array_elements(p_settlements) s)
  order by r.id
  for update;
  for v_group in
    select r.tenant_id, r.metric, array_agg(s order by r.subject) as items, array_agg(distinct r.subject) as subjects
    from jsonb_array_elements(p_settlements) s
    left join private.quota_reservations r on r.id = (s ->> 'reservation_id')::uuid
    group by r.metric, r.tenant_id
    order by r.metric, r.tenant_id
  loop
    if cardinality(v_group.subjects) > 1 then
      perform private.lock_counters(v_group.tenant_id, v_group.metric, v_group.subjects);
    end if;
    foreach v_item in array v_group.items loop
      return next private.settle_reservation(
        (v_item ->> 'reservation_id')::uuid, (v_item ->> 'actual_amount')::bigint, nullif(v_item -> 'event', 'null')
      );
    end loop;
  end loop;
end
$$;
revoke all on function private.settle_reservations(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.settle_reservations(jsonb) to anon, authenticated, service_role;

create function public.settle_reservations(settlements jsonb) returns setof public.reservation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.settle_reservations($1) $$;
comment on function public.settle_reservations(jsonb) is
  'Settles several reservations in one transaction, all or none: [{reservation_id, actual_amount, event?}]. Each answer names its reservation. The ids authorise.';
revoke all on function public.settle_reservations(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.settle_reservations(jsonb) to anon, authenticated, service_role;

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

-- Gives back what expired reservations have not spent, and records the usage of the rest. At most 5,000 in one pass; those
-- that are being settled are passed over.
create function private.expire_reservations() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_due private.quota_reservations[];
begin
  v_due := array(
    select r
    from private.quota_reservations r
    join public.tenants t on t.id = r.tenant_id
    where r.status = 'open' and r.expires_at <= now() + t.clock_offset
    order by r.expires_at
    limit 5000
    for update of r skip locked
  );
  with held as materialized (
    select r.tenant_id, r.metric, h.period, h.subject, h.window_start,
      sum(least(h.amount, r.amount - r.spent)) as amount
    from unnest(v_due) r cross join lateral unnest(r.holds) h
    group by 1, 2, 3, 4, 5
  ),
  locked as materialized (
    select c.tenant_id, c.metric, c.period, c.subject, c.window_start
    from private.quota_counters c
    where (c.tenant_id, c.metric, c.period, c.subject) in (
      select h.tenant_id, h.metric, h.period, h.subject from held h
    )
    order by c.metric, c.tenant_id, c.period, c.subject
    for update
  )
  update private.quota_counters c
  set used = greatest(c.used - h.amount, 0)
  from held h join locked l using (tenant_id, metric, period, subject, window_start)
  where c.tenant_id = h.tenant_id and c.metric = h.metric and c.period = h.period and c.subject = h.subject
    and c.window_start = h.window_start;

  update private.quota_reservations r set status = 'expired', closed_at = now()
  from unnest(v_due) d where r.id = d.id;

  perform private.record_events(
    e.tenant_id, null,
    jsonb_agg(private.with_amount(e.event, e.metric, e.spent) || jsonb_build_object('subject', e.subject)),
    private.tenant_now(e.tenant_id)
  )
  from unnest(v_due) e
  where e.event is not null and e.spent > 0
  group by e.tenant_id;
end
$$;
revoke all on function private.expire_reservations() from public, anon, authenticated, service_role;
