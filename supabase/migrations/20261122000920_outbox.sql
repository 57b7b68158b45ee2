-- Outbox: how the messages that foundation keeps leave the database, each at least once.
--
-- A worker claims messages for a lease, sends them, and says what became of each. One whose worker falls silent is claimed
-- again when the lease is over; the id stays, so that a receiver can tell. What failed is tried again after 5 seconds times
-- four for each attempt, at most 12 hours, a fifth more or less: 13 attempts in about three days, then it is dead until
-- somebody replays it. A receiver's Retry-After is waited for.
--
-- Messages of one lane (invites and billing mails, the alert mails of a tenant, or one channel) fail together: at most 20 of a
-- lane are under way at once, one while the lane is failing, and none before its own back-off is over. Lanes are looked through one after the other from a random one, so
-- that a claim costs by lanes with messages to send and not by how many wait in them. Messages of one alert to one channel
-- leave in their order.
--
-- Order of locks: lanes that are claimed of, which nobody waits for; channels, notifications by id, their rows in
-- private.outbox, failing lanes.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.claimed_notification as (
  id uuid,
  tenant_id uuid,
  alert_id uuid,
  channel_id uuid,
  kind text,
  channel_type public.alert_channel_type,
  recipient text,
  config jsonb,
  payload jsonb,
  attempt int,
  created_at timestamptz
);

create table private.failing_lanes (
  lane text primary key,
  failures int not null,
  retry_at timestamptz not null
);
comment on table private.failing_lanes is 'The lanes whose last message failed for a reason that any other would, and when one is tried again.';
alter table private.failing_lanes enable row level security;

-- A channel's config as a worker needs it, with its secrets.
create function private.channel_config(p_channel public.alert_channels) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return case p_channel.type
    when 'slack' then p_channel.config || jsonb_build_object('webhook_url', private.channel_secret(p_channel.id))
    when 'pagerduty' then jsonb_build_object('routing_key', private.channel_secret(p_channel.id))
    when 'webhook' then p_channel.config || jsonb_build_object('secrets', array_remove(array[
      private.channel_secret(p_channel.id),
      case when p_channel.secret_rotated_at > now() - interval '24 hours' then private.channel_secret(p_channel.id, true) end
    ], null))
    else '{}'
  end;
end
$$;
revoke all on function private.channel_config(public.alert_channels) from public, anon, authenticated, service_role;

-- Whether there is still a channel to send a message by.
create function private.is_deliverable(p_notification public.alert_notifications) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return p_notification.kind <> 'alert'
    or exists (select from public.alert_channels c where c.id = p_notification.channel_id and c.enabled);
end
$$;
revoke all on function private.is_deliverable(public.alert_notifications) from public, anon, authenticated, service_role;

create function private.claim_alert_notifications(p_max_rows int, p_lease_seconds int)
returns setof public.claimed_notification
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_start text := left(md5(random()::text), 8);
  v_lane text := v_start;
  v_due_at timestamptz;
  v_is_round boolean := false;
  v_retry_at timestamptz;
  v_room int;
  v_ids uuid[] := array[]::uuid[];
  v_recalled uuid[];
begin
  if p_max_rows is null or p_max_rows not between 1 and 5000 then
    perform private.raise_error(400, 'invalid_max_rows', 'Claim 1 to 5000 messages.');
  end if;
  if p_lease_seconds is null or p_lease_seconds not between 1 and 3600 then
    perform private.raise_error(400, 'invalid_lease', 'A lease is 1 to 3600 seconds.');
  end if;
  -- Whoever had these has fallen silent.
  update public.alert_notifications n
  set status = case when n.attempts >= 13 or not private.is_deliverable(n) then 'dead' else 'failed' end::public.notification_status,
      locked_until = null, next_attempt_at = now(), last_error = 'The worker fell silent.'
  where n.id in (
    select l.id
    from private.outbox o
    join public.alert_notifications l on l.id = o.id
    where o.status = 'sending' and o.due_at < now() and l.status = 'sending' and l.locked_until < now()
    order by l.id
    for update of l skip locked
  );

  loop
    select o.lane, o.due_at into v_lane, v_due_at
    from private.outbox o
    where o.status in ('pending', 'failed') and o.lane > v_lane
    order by o.lane, o.due_at
    limit 1;
    if not found then
      exit when v_is_round;
      v_is_round := true;
      v_lane := '';
      continue;
    end if;
    exit when v_is_round and v_lane > v_start;
    -- Two that claim of one lane at once would each leave room for what the other takes.
    continue when v_due_at > now() or not pg_try_advisory_xact_lock(hashtextextended('meterbase.lane:' || v_lane, 0));

    select l.retry_at into v_retry_at from private.failing_lanes l where l.lane = v_lane;
    continue when v_retry_at > now();
    v_room := case when v_retry_at is null then 20 else 1 end - (
      select count(*) from private.outbox o where o.lane = v_lane and o.status = 'sending'
    );
    continue when v_room <= 0;
    v_ids := v_ids || array(
      select o.id
      from private.outbox o
      where o.status in ('pending', 'failed') and o.lane = v_lane and o.due_at <= now() and not (o.is_follower and exists (
        select
        from public.alert_notifications n
        join public.alert_notifications b
          on b.alert_id = n.alert_id and b.channel_id = n.channel_id and b.recipient is not distinct from n.recipient
          and b.created_at < n.created_at
        where n.id = o.id and b.status in ('pending', 'sending', 'failed')
      ))
      order by o.due_at
      limit least(v_room, p_max_rows - cardinality(v_ids))
    );
    exit when cardinality(v_ids) = p_max_rows;
  end loop;

  -- What somebody else holds is being recalled, or told of late. The channel of some went away while they were written.
  select array_agg(f.id), array_agg(f.id) filter (where f.kind = 'alert' and c.id is null) into v_ids, v_recalled
  from (
    select n.id, n.kind, n.channel_id
    from public.alert_notifications n where n.id = any (v_ids) and n.status in ('pending', 'failed')
    for update skip locked
  ) f
  left join public.alert_channels c on c.id = f.channel_id and c.enabled;
  if v_recalled is not null then
    update public.alert_notifications n set status = 'dead', last_error = 'The channel was disabled or deleted.'
    where n.id = any (v_recalled);
  end if;

  return query
    with claimed as (
      update public.alert_notifications n
      set status = 'sending', attempts = n.attempts + 1, locked_until = now() + make_interval(secs => p_lease_seconds)
      where n.id = any (v_ids) and n.status <> 'dead'
      returning n.id, n.tenant_id, n.alert_id, n.channel_id, n.kind, n.recipient, n.payload, n.attempts, n.created_at
    ),
    channels as materialized (
      select c.id, c.type, private.channel_config(c) as config
      from public.alert_channels c where c.id in (select k.channel_id from claimed k)
    )
    select n.id, n.tenant_id, n.alert_id, n.channel_id, n.kind, coalesce(c.type, 'email'), n.recipient,
      coalesce(c.config, '{}'), n.payload, n.attempts, n.created_at
    from claimed n
    left join channels c on c.id = n.channel_id;
end
$$;
revoke all on function private.claim_alert_notifications(int, int) from public, anon, authenticated, service_role;
grant execute on function private.claim_alert_notifications(int, int) to service_role;

create function public.claim_alert_notifications(max_rows int default 100, lease_seconds int default 60)
returns setof public.claimed_notification
language sql volatile security invoker set search_path = '' as $$ select * from private.claim_alert_notifications($1, $2) $$;
comment on function public.claim_alert_notifications(int, int) is
  'Takes up to max_rows (1 to 5000) messages that are due to send, for a lease, with what is needed to send them. Service role.';
revoke all on function public.claim_alert_notifications(int, int) from public, anon, authenticated, service_role;
grant execute on function public.claim_alert_notifications(int, int) to service_role;

-- What became of a message. blocks_channel: any other of its lane would have failed as well.
create type private.delivery_outcome as (
  id uuid,
  ok boolean,
  error text,
  retry_after_seconds int,
  is_permanent boolean,
  is_gone boolean,
  blocks_channel boolean,
  attempt int
);

-- When to try the next time after p_attempts.
create function private.retry_delay(p_attempts int) returns interval
language sql volatile set search_path = '' as $$
  select least(5 * power(4, least(p_attempts, 20) - 1), 43200) * (0.8 + 0.4 * random()) * interval '1 second'
$$;
revoke all on function private.retry_delay(int) from public, anon, authenticated, service_role;

-- What a batch of outcomes says of a lane.
create type private.lane_outcome as (lane text, is_well boolean, is_failing boolean, retry_after interval);

-- One that was delivered is sent, whoever holds it by now; what failed is for its holder alone to tell. A lane is well again
-- when one of its messages was delivered.
create function private.complete_notifications(p_outcomes private.delivery_outcome[]) returns int
language plpgsql volatile security definer set search_path = ''
-- By the key for each: a thousand outcomes make a scan of a small outbox look cheap.
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  v_ids uuid[] := array(select o.id from unnest(p_outcomes) o);
  v_gone uuid[];
  v_completed int;
  v_lanes private.lane_outcome[];
begin
  if exists (select from unnest(p_outcomes) o where o.is_gone) then
    v_gone := array(
      select c.id
      from public.alert_channels c
      where c.id in (
        select n.channel_id from unnest(p_outcomes) o join public.alert_notifications n on n.id = o.id where o.is_gone
      )
      order by c.id
      for no key update
    );
    -- What waits for them is recalled with them.
    v_ids := v_ids || array(
      select o.id
      from private.outbox o
      join public.alert_notifications n on n.id = o.id
      where o.lane in (select private.channel_lane(c) from public.alert_channels c where c.id = any (v_gone))
        and n.channel_id = any (v_gone)
    );
  end if;
  perform from public.alert_notifications n where n.id = any (v_ids) order by n.id for update;
  with completed as (
    update public.alert_notifications n
    set status = case
          when o.ok then 'sent'
          when o.is_permanent or o.is_gone or n.attempts >= 13 or not private.is_deliverable(n) then 'dead'
          else 'failed'
        end::public.notification_status,
        locked_until = null,
        sent_at = case when o.ok then now() end,
        last_error = case when o.ok is not true then left(coalesce(o.error, 'unknown'), 500) end,
        next_attempt_at = case
          when o.ok then n.next_attempt_at
          else now() + greatest(private.retry_delay(n.attempts), o.retry_after)
        end
    from (
      select o.*, case when o.retry_after_seconds > 0 then least(o.retry_after_seconds, 86400) * interval '1 second' end as retry_after
      from unnest(p_outcomes) o
    ) o
    where n.id = o.id
      and case when o.ok then n.status <> 'sent' else n.status = 'sending' and n.attempts = coalesce(o.attempt, n.attempts) end
    returning n.lane, n.channel_id, o.ok, o.is_gone, o.blocks_channel, o.retry_after
  ),
  disabled as (
    update public.alert_channels a set enabled = false, disabled_reason = 'gone'
    from completed c where a.id = c.channel_id and c.is_gone
  ),
  lanes as (
    select c.lane, count(*) as completed, bool_or(c.ok) as is_well, bool_or(c.blocks_channel) as is_failing,
      max(c.retry_after) filter (where c.blocks_channel) as retry_after
    from completed c
    group by c.lane
  )
  select coalesce(sum(l.completed), 0),
    array_agg(row(l.lane, l.is_well, l.is_failing, l.retry_after)::private.lane_outcome order by l.lane)
  into v_completed, v_lanes
  from lanes l;

  if not exists (
    select from unnest(v_lanes) l
    where l.is_failing or exists (select from private.failing_lanes f where f.lane = l.lane)
  ) then
    return v_completed;
  end if;
  -- One after the other: some lanes of a batch are there to be locked, and others are not.
  perform pg_advisory_xact_lock(hashtext('meterbase.failing_lanes'));
  delete from private.failing_lanes f using unnest(v_lanes) l where f.lane = l.lane and l.is_well;
  insert into private.failing_lanes as f (lane, failures, retry_at)
  select l.lane, 1, now() + greatest(interval '2 seconds', l.retry_after)
  from unnest(v_lanes) l
  where l.is_failing and l.is_well is not true
  order by l.lane
  on conflict (lane) do update set
    failures = f.failures + 1,
    retry_at = greatest(excluded.retry_at, now() + least(power(2, least(f.failures + 1, 10)), 300) * interval '1 second');
  return v_completed;
end
$$;
revoke all on function private.complete_notifications(private.delivery_outcome[]) from public, anon, authenticated, service_role;

create function private.complete_alert_notifications(p_outcomes jsonb) returns int
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' or jsonb_array_length(p_outcomes) > 5000 then
    perform private.raise_error(400, 'invalid_outcomes', 'Outcomes are a JSON array of at most 5000 objects.');
  end if;
  return private.complete_notifications(array(
    select o from jsonb_populate_recordset(null::private.delivery_outcome, p_outcomes) o
  ));
end
$$;
revoke all on function private.complete_alert_notifications(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.complete_alert_notifications(jsonb) to service_role;

create function public.complete_alert_notifications(outcomes jsonb) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.complete_alert_notifications($1) $$;
comment on function public.complete_alert_notifications(jsonb) is
  'Says what became of claimed messages: [{id, ok, error?, retry_after_seconds?, is_permanent?, is_gone?, blocks_channel?, attempt?}], up to 5000. Returns how many that completed. Service role.';
revoke all on function public.complete_alert_notifications(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.complete_alert_notifications(jsonb) to service_role;

create function private.complete_alert_notification(
  p_id uuid, p_ok boolean, p_error text, p_retry_after_seconds int, p_is_permanent boolean, p_is_gone boolean,
  p_blocks_channel boolean, p_attempt int
) returns int
language plpgsql volatile security definer set search_path = '' as $$
begin
  return private.complete_notifications(array[row(
    p_id, p_ok, p_error, p_retry_after_seconds, p_is_permanent, p_is_gone, p_blocks_channel, p_attempt
  )::private.delivery_outcome]);
end
$$;
revoke all on function private.complete_alert_notification(uuid, boolean, text, int, boolean, boolean, boolean, int)
  from public, anon, authenticated, service_role;
grant execute on function private.complete_alert_notification(uuid, boolean, text, int, boolean, boolean, boolean, int)
  to service_role;

create function public.complete_alert_notification(
  id uuid, ok boolean, error text default null, retry_after_seconds int default null, is_permanent boolean default false,
  is_gone boolean default false, blocks_channel boolean default false, attempt int default null
) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.complete_alert_notification($1, $2, $3, $4, $5, $6, $7, $8) $$;
comment on function public.complete_alert_notification(uuid, boolean, text, int, boolean, boolean, boolean, int) is
  'Says what became of one claimed message: 1, or 0 when it was not the caller''s to complete. Service role.';
revoke all on function public.complete_alert_notification(uuid, boolean, text, int, boolean, boolean, boolean, int)
  from public, anon, authenticated, service_role;
grant execute on function public.complete_alert_notification(uuid, boolean, text, int, boolean, boolean, boolean, int)
  to service_role;

create function private.replay_alert_notification(p_id uuid) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_notification public.alert_notifications;
begin
  select * into v_notification from public.alert_notifications n where n.id = p_id for update;
  if not found or v_notification.tenant_id is not null and not private.has_permission(v_notification.tenant_id, 'alerts:read') then
    perform private.raise_error(404, 'notification_not_found', 'There is no such notification.');
  end if;
  -- Invites and billing mails are not the members' to send again: an invite's token is gone, too.
  perform private.require_alert_permission(
    case v_notification.kind when 'alert' then v_notification.tenant_id end, 'alerts:write'
  );
  if v_notification.status <> 'dead' or v_notification.kind = 'invite' or not private.is_deliverable(v_notification)
    or exists (
      select from public.alerts a
      where a.id = v_notification.alert_id and a.status = 'resolved' and v_notification.payload ->> 'event' <> 'resolved'
    )
  then
    return 0;
  end if;
  update public.alert_notifications n set status = 'pending', attempts = 0, next_attempt_at = now() where n.id = p_id;
  return 1;
end
$$;
revoke all on function private.replay_alert_notification(uuid) from public, anon, authenticated, service_role;
grant execute on function private.replay_alert_notification(uuid) to authenticated, service_role;

create function public.replay_alert_notification(id uuid) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.replay_alert_notification($1) $$;
comment on function public.replay_alert_notification(uuid) is
  'Sends a dead message again, with all its attempts: 1, or 0 when it is not dead, its channel is off, its alert has been resolved meanwhile, or it is an invite, whose token is forgotten. Needs alerts:write; of what is no alert, platform admins.';
revoke all on function public.replay_alert_notification(uuid) from public, anon, authenticated, service_role;
grant execute on function public.replay_alert_notification(uuid) to authenticated, service_role;

-- Forgets what was sent 30 days ago, what is dead for 90, alerts a year after their episode, and that a lane failed which
-- nothing waits in.
create function private.cleanup_old_alerts() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from public.alert_notifications n
  where (n.status = 'sent' and n.sent_at < now() - interval '30 days'
      or n.status = 'dead' and n.created_at < now() - interval '90 days')
    -- Whom an alert was told to is known as long as it lasts.
    and not exists (select from public.alerts a where a.id = n.alert_id and a.cleared_at is null);
  delete from public.alerts a where a.cleared_at < now() - interval '1 year';
  delete from private.failing_lanes l
  where not exists (select from private.outbox o where o.lane = l.lane and o.status <> 'dead');
end
$$;
revoke all on function private.cleanup_old_alerts() from public, anon, authenticated, service_role;
