-- Foundation: what every other domain stands on.
--
-- Two schemas. `public` holds the tables, under row level security with grants by name, and thin security invoker
-- wrappers. `private`, which the API does not expose, holds the rules: security definer functions, counters, secrets'
-- hashes. API roles may use `private`, and execute there only what a wrapper or a policy calls.
--
-- Functions are executable by everyone until that is revoked, and a Supabase project may grant them to its API roles
-- by default as well: every function is followed by its own revoke from all four, then by its grants.

set lock_timeout = '5s';
set statement_timeout = '60s';

create schema private;
comment on schema private is 'The rules of Meterbase: functions, counters and hashes that the API does not expose.';
grant usage on schema private to anon, authenticated, service_role;


-- Ends the call with HTTP status p_status; p_reason is the stable name that clients branch on (CONTRIBUTING.md lists them).
create function private.raise_error(p_status int, p_reason text, p_message text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  raise exception using errcode = 'PT' || p_status, message = p_message, hint = p_reason;
end
$$;
revoke all on function private.raise_error(int, text, text) from public, anon, authenticated, service_role;


create function private.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;
revoke all on function private.set_updated_at() from public, anon, authenticated, service_role;


-- Makes the partition [p_from, p_to) of a table in `public` unless it is there. Created and then attached: creating it
-- in place would wait for every open insert. One lock for all makers, so that two of them cannot wait for each other.
create function private.ensure_partition(p_table name, p_partition name, p_from timestamptz, p_to timestamptz)
returns void
language plpgsql volatile set search_path = '' as $$
begin
  -- Asking for its size waits for a maker that holds it still. Without, a partition may be there whose maker has not told
  -- other sessions yet, and their inserts would not find it.
  if pg_relation_size(to_regclass(format('private.%I', p_partition))) is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('meterbase.ensure_partition'));
  -- Asked anew of the table itself: to_regclass may remember that there was none before the wait.
  if exists (select from pg_catalog.pg_class where relname = p_partition and relnamespace = 'private'::regnamespace) then
    return;
  end if;
  execute format(
    'create table private.%I (like public.%I including defaults including constraints including indexes)',
    p_partition, p_table
  );
  execute format('alter table private.%I enable row level security', p_partition);
  execute format(
    'alter table public.%I attach partition private.%I for values from (%L) to (%L)',
    p_table, p_partition, p_from, p_to
  );
end
$$;
revoke all on function private.ensure_partition(name, name, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;


-- Locks a partitioned table against everybody, so that partitions can be dropped. Whoever comes while it waits for open
-- writers waits as well, so it waits briefly, and tries again.
create function private.lock_partitioned(p_table regclass) returns void
language plpgsql volatile security definer set search_path = '' set lock_timeout = '100ms' as $$
begin
  for v_attempt in 1..50 loop
    begin
      execute format('lock table only %s in access exclusive mode', p_table);
      exit;
    exception when lock_not_available then
      if v_attempt = 50 then
        raise;
      end if;
      perform pg_sleep(0.2);
    end;
  end loop;
end
$$;
revoke all on function private.lock_partitioned(regclass) from public, anon, authenticated, service_role;


-- The outbox ---------------------------------------------------------------------------------------------------------
--
-- Whatever must leave the database is a row here, written in the transaction of its cause and delivered afterwards:
-- pending → sending (leased until locked_until) → sent | failed (again at next_attempt_at) → dead. The outbox domain
-- delivers it.

create type public.notification_status as enum ('pending', 'sending', 'sent', 'failed', 'dead');

create table public.alert_notifications (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  alert_id uuid,
  channel_id uuid,
  kind text not null,
  recipient text,
  lane text not null default 'email',
  payload jsonb not null default '{}',
  status public.notification_status not null default 'pending',
  attempts int not null default 0,
  next_attempt_at timestamptz not null default now(),
  locked_until timestamptz,
  last_error text,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  constraint alert_notifications_kind_known check (kind in ('alert', 'invite', 'billing')),
  constraint alert_notifications_attempts_not_negative check (attempts >= 0),
  constraint alert_notifications_leased_while_sending check ((status = 'sending') = (locked_until is not null)),
  constraint alert_notifications_dated_when_sent check ((status = 'sent') = (sent_at is not null))
) with (fillfactor = 50);
comment on table public.alert_notifications is
  'The outbox: every message that has to leave, for alerts, invites and billing mails alike.';
comment on column public.alert_notifications.lane is
  'What fails together: invites and billing mails, the alert mails of a tenant, or one channel. A lane that hangs holds up no other.';
comment on column public.alert_notifications.payload is 'What to send. Holds a secret, such as an invite''s token, until it is sent, so members do not read it.';

alter table public.alert_notifications enable row level security;

revoke all on public.alert_notifications from anon, authenticated, service_role;
grant select on public.alert_notifications to service_role;

-- A message that has left, or never will, needs no secret any more.
create function private.forget_token() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.payload := new.payload - 'token';
  return new;
end
$$;
revoke all on function private.forget_token() from public, anon, authenticated, service_role;
create trigger forget_token before update of status on public.alert_notifications
  for each row when (new.status in ('sent', 'dead') and old.payload ? 'token') execute function private.forget_token();

create index alert_notifications_by_invite on public.alert_notifications ((payload ->> 'invite_id')) where kind = 'invite';
-- Of one thing a mail leaves once, however often Stripe tells of it.
create unique index alert_notifications_billing_once
  on public.alert_notifications ((payload ->> 'key'), recipient) where kind = 'billing';
create index alert_notifications_by_alert on public.alert_notifications (alert_id, channel_id) where alert_id is not null;
create index alert_notifications_by_tenant on public.alert_notifications (tenant_id, created_at desc);

-- What is not sent yet, so that finding it does not depend on what was: a row here for each there, kept by triggers. The
-- outbox itself has no index that its status is in, so that what becomes of a message writes to no index of the wide table.
create table private.outbox (
  id uuid primary key,
  lane text not null,
  status public.notification_status not null,
  due_at timestamptz not null,
  is_follower boolean not null
) with (fillfactor = 50);
comment on table private.outbox is 'The messages that have not left, those that never will included.';
comment on column private.outbox.is_follower is 'Whether earlier messages of its alert have to leave first.';
comment on column private.outbox.due_at is 'When to send it next: at next_attempt_at, or once the lease is over.';
alter table private.outbox enable row level security;
create index outbox_due on private.outbox (lane, due_at) where status in ('pending', 'failed');
create index outbox_leased on private.outbox (lane, due_at) where status = 'sending';
create index outbox_dead on private.outbox (id) where status = 'dead';

create function private.keep_outbox() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into private.outbox (id, lane, status, due_at, is_follower)
    select n.id, n.lane, n.status, coalesce(n.locked_until, n.next_attempt_at),
      n.alert_id is not null and n.payload ->> 'event' is distinct from 'opened'
    from changed n
    where n.status <> 'sent';
    return null;
  end if;
  delete from private.outbox o using changed n where o.id = n.id and (n.status = 'sent' or tg_op = 'DELETE');
  update private.outbox o
  set lane = n.lane, status = n.status, due_at = coalesce(n.locked_until, n.next_attempt_at)
  from changed n
  where o.id = n.id and n.status <> 'sent';
  return null;
end
$$;
revoke all on function private.keep_outbox() from public, anon, authenticated, service_role;
create trigger keep_outbox_of_new after insert on public.alert_notifications
  referencing new table as changed for each statement execute function private.keep_outbox();
create trigger keep_outbox after update on public.alert_notifications
  referencing new table as changed for each statement execute function private.keep_outbox();
create trigger keep_outbox_of_deleted after delete on public.alert_notifications
  referencing old table as changed for each statement execute function private.keep_outbox();
