-- Alerts: what is to be watched (rules), what was seen (alerts), and whom to tell (channels).
--
-- A rule belongs to a tenant, or to the operator (no tenant): an operator's rule of a tenant's type watches every tenant, and
-- its alerts are the operator's. A rule without a threshold, window or severity has its type's; a type with a critical
-- threshold then has two steps.
--
-- An episode begins when a rule's condition is seen and ends when it is seen no more. It has one alert: opened once, told to
-- the rule's channels once, resolved by a member or by itself when the condition is over. One that a member resolved while
-- the condition holds does not open again in the same episode. What is about a period (a day's quota, a day's cost) opens
-- once in that period, whatever happens; the next period has alerts of its own. `cooldown` is how long after its end a rule
-- keeps quiet about the same thing.
--
-- Secrets of channels (a Slack URL, a routing key, a signing secret) are in Vault under the channel's id. What members read
-- is a mask.
--
-- Order of locks: counters before alerts, alerts before notifications; nothing that holds an alert waits for a counter.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.alert_severity as enum ('low', 'medium', 'high', 'critical');
create type public.alert_status as enum ('open', 'acknowledged', 'resolved');
create type public.alert_channel_type as enum ('email', 'slack', 'webhook', 'pagerduty', 'console');

create table public.alert_rule_types (
  type text primary key,
  is_of_tenants boolean not null,
  threshold numeric not null,
  critical_threshold numeric,
  window_minutes int not null,
  severity public.alert_severity not null,
  action_required boolean not null default false,
  description text not null,
  constraint alert_rule_types_window_minutes_positive check (window_minutes > 0)
);
comment on table public.alert_rule_types is 'What rules can watch, and the defaults of each type.';
comment on column public.alert_rule_types.is_of_tenants is 'Whether tenants may have such rules; the others are about the platform.';
comment on column public.alert_rule_types.critical_threshold is 'From here on an alert is critical; a rule without a threshold of its own has both.';
alter table public.alert_rule_types enable row level security;
revoke all on public.alert_rule_types from anon, authenticated, service_role;
grant select on public.alert_rule_types to authenticated, service_role;
create policy everyone_reads_alert_rule_types on public.alert_rule_types for select to authenticated using (true);
create trigger audit_change after insert or update or delete on public.alert_rule_types
  for each row execute function private.audit_change('alert_rule_type', 'type');

insert into public.alert_rule_types
  (type, is_of_tenants, threshold, critical_threshold, window_minutes, severity, action_required, description)
values
  ('usage_threshold', true, 80, 95, 1440, 'medium', false, 'A quota of the tenant''s day, month or stock is used to this percentage'),
  ('quota_warning', true, 80, null, 1440, 'medium', false, 'A quota of the tenant''s day, month or stock is used to this percentage'),
  ('overage_detected', true, 0, null, 1440, 'high', false, 'More than this percentage is used beyond a limit'),
  ('execution_failure', true, 5, null, 60, 'high', false, 'More than this many usage events failed (status 400 and above, but 429) in the window'),
  ('rate_limit_breach', true, 0, null, 60, 'medium', false, 'More than this many windows of a rate limit were used up in the window'),
  ('payment_failed', true, 0, null, 1440, 'critical', true, 'An open invoice has more than this many failed payments'),
  ('cost_spike', true, 150, null, 1440, 'high', false, 'The cost of this hour, day or month is this percentage above the one before'),
  ('usage_anomaly', true, 2, null, 60, 'high', false, 'An hour''s usage is this many times what is usual at that time'),
  ('system_error', false, 0, null, 5, 'critical', true, 'More than this many parts of the platform are out of order'),
  ('webhook_failure_rate', false, 5, null, 10, 'critical', true, 'More than this percentage of Stripe''s webhooks failed in the window'),
  ('stripe_event_unapplied', false, 5, null, 5, 'critical', true, 'An event of Stripe''s is not applied for more than this many minutes'),
  ('stripe_api_errors', false, 5, null, 60, 'high', false, 'More than this many calls of Stripe''s API failed in the window'),
  ('payment_failure_rate', false, 10, null, 1440, 'critical', true, 'More than this percentage of payments failed in the window'),
  ('quota_denial_rate', false, 5, null, 60, 'high', false, 'More than this percentage of takes was denied in the window'),
  ('quota_denied_tenants', false, 20, null, 1440, 'high', false, 'More than this percentage of the active tenants was denied quota in the window'),
  ('rate_limited_tenants', false, 1, null, 60, 'high', false, 'More than this many tenants used up a rate limit in the window'),
  ('checkout_burst', false, 10, null, 1, 'critical', true, 'More than this many checkouts were begun from one address in the window'),
  ('unauthorized_admin_access', false, 0, null, 60, 'high', true, 'Somebody who is no platform admin tried the admin area more than this many times in the window'),
  ('critical_audit_event', false, 0, null, 60, 'critical', true, 'More than this many critical events were audited in the window'),
  ('database_connections', false, 90, null, 5, 'critical', true, 'More than this percentage of the database''s connections is in use, or all of them at 100'),
  ('schedule_failed', false, 0, null, 60, 'high', true, 'More than this many scheduled jobs failed last or are late');

create table public.alert_rules (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  name text not null,
  type text not null references public.alert_rule_types (type),
  metric text references public.metrics (id) on delete cascade,
  threshold numeric,
  window_minutes int,
  severity public.alert_severity,
  enabled boolean not null default true,
  cooldown interval not null default '0',
  channel_ids uuid[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint alert_rules_name_length check (char_length(name) between 1 and 100),
  constraint alert_rules_threshold_range check (threshold between 0 and 1000000000),
  constraint alert_rules_window_minutes_range check (window_minutes between 1 and 44640),
  constraint alert_rules_cooldown_range check (cooldown between interval '0' and interval '31 days'),
  constraint alert_rules_channel_ids_few check (cardinality(channel_ids) <= 20)
);
comment on table public.alert_rules is 'What a tenant, or the operator, wants to be told of.';
comment on column public.alert_rules.tenant_id is 'Null: the operator''s.';
comment on column public.alert_rules.metric is 'Null: any.';
comment on column public.alert_rules.channel_ids is 'Whom to tell; empty: all channels of the tenant, or of the operator.';
alter table public.alert_rules enable row level security;
revoke all on public.alert_rules from anon, authenticated, service_role;
grant select, delete on public.alert_rules to authenticated, service_role;
grant insert (tenant_id, name, type, metric, threshold, window_minutes, severity, enabled, cooldown, channel_ids),
  update (name, metric, threshold, window_minutes, severity, enabled, cooldown, channel_ids)
  on public.alert_rules to authenticated, service_role;
create policy members_read_alert_rules on public.alert_rules for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:read'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_add_alert_rules on public.alert_rules for insert to authenticated
  with check (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_change_alert_rules on public.alert_rules for update to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_delete_alert_rules on public.alert_rules for delete to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create index alert_rules_by_tenant on public.alert_rules (tenant_id);
create index alert_rules_by_type on public.alert_rules (type);
create index alert_rules_by_metric on public.alert_rules (metric);
create trigger set_updated_at before update on public.alert_rules
  for each row execute function private.set_updated_at();
create trigger audit_change after insert or update or delete on public.alert_rules
  for each row execute function private.audit_change('alert_rule', 'id');

create table public.alert_channels (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  type public.alert_channel_type not null,
  name text not null,
  config jsonb not null default '{}',
  min_severity public.alert_severity not null default 'low',
  enabled boolean not null default true,
  disabled_reason text,
  is_from_environment boolean not null default false,
  secret_rotated_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint alert_channels_name_length check (char_length(name) between 1 and 100)
);
comment on table public.alert_channels is 'Where a tenant, or the operator, wants to be told.';
comment on column public.alert_channels.tenant_id is 'Null: the operator''s.';
comment on column public.alert_channels.config is
  'email {recipients}, slack {webhook_url, channel?}, webhook {url}, pagerduty {routing_key}, console {}. What is secret goes to Vault and leaves a mask.';
comment on column public.alert_channels.min_severity is 'It is told of alerts that are at least as severe.';
comment on column public.alert_channels.disabled_reason is 'Why it was disabled without its owner: gone, its endpoint answered 410.';
comment on column public.alert_channels.is_from_environment is 'Whether deliver-alerts keeps it as its environment says.';
alter table public.alert_channels enable row level security;
revoke all on public.alert_channels from anon, authenticated, service_role;
grant select, delete on public.alert_channels to authenticated, service_role;
grant insert (tenant_id, type, name, config, min_severity, enabled), update (name, config, min_severity, enabled)
  on public.alert_channels to authenticated, service_role;
create policy members_read_alert_channels on public.alert_channels for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:read'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_add_alert_channels on public.alert_channels for insert to authenticated
  with check (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_change_alert_channels on public.alert_channels for update to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create policy members_delete_alert_channels on public.alert_channels for delete to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:write'))) or tenant_id is null and (select private.is_platform_admin()));
create index alert_channels_by_tenant on public.alert_channels (tenant_id);
create trigger set_updated_at before update on public.alert_channels
  for each row execute function private.set_updated_at();
create trigger audit_change after insert or update or delete on public.alert_channels
  for each row execute function private.audit_change('alert_channel', 'id', 'config');

create table public.alerts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  rule_id uuid,
  type text not null references public.alert_rule_types (type),
  severity public.alert_severity not null,
  title text not null,
  message text not null,
  data jsonb not null default '{}',
  action_required boolean not null default false,
  dedup_key text not null,
  status public.alert_status not null default 'open',
  occurrences int not null default 1,
  opened_at timestamptz not null default now(),
  last_occurred_at timestamptz not null default now(),
  acknowledged_at timestamptz,
  acknowledged_by text,
  resolved_at timestamptz,
  resolved_by text,
  resolution_note text,
  cleared_at timestamptz,
  constraint alerts_resolution_note_length check (char_length(resolution_note) <= 2000),
  constraint alerts_dated_when_resolved check ((status = 'resolved') = (resolved_at is not null)),
  constraint alerts_resolved_when_cleared check (cleared_at is null or status = 'resolved')
);
comment on table public.alerts is 'What rules have seen, one row for each episode.';
comment on column public.alerts.tenant_id is 'Whose alert it is; null: the operator''s. Which tenant that is about says data.tenant_id.';
comment on column public.alerts.rule_id is 'The rule that saw it, which may have been deleted since.';
comment on column public.alerts.dedup_key is 'What it is about: the rule, the tenant, and what of it.';
comment on column public.alerts.occurrences is 'How often it was seen with new facts, the first time included.';
comment on column public.alerts.opened_at is 'In the time of the tenant whose it is, as all its times are.';
comment on column public.alerts.resolved_by is 'A user or API key, or the system when its condition was over.';
comment on column public.alerts.cleared_at is 'When the episode ended: the condition was seen no more.';
alter table public.alerts enable row level security;
revoke all on public.alerts from anon, authenticated, service_role;
grant select on public.alerts to authenticated, service_role;
create policy members_read_alerts on public.alerts for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('alerts:read'))) or tenant_id is null and (select private.is_platform_admin()));
create unique index alerts_one_per_episode on public.alerts (dedup_key) where cleared_at is null;
create index alerts_by_dedup_key on public.alerts (dedup_key, opened_at);
create index alerts_by_tenant on public.alerts (tenant_id, opened_at desc);
create index alerts_unresolved on public.alerts (tenant_id) where status <> 'resolved';
create index alerts_by_type on public.alerts (type);

-- Members see what became of each message, but not what it says: of an invite, that is a token.
grant select (
  id, tenant_id, alert_id, channel_id, kind, recipient, lane, status, attempts, next_attempt_at, locked_until, last_error, created_at, sent_at
) on public.alert_notifications to authenticated;
create policy members_read_alert_notifications on public.alert_notifications for select to authenticated
  using (kind = 'alert' and tenant_id = any (array(select private.tenant_ids_with('alerts:read'))) or (select private.is_platform_admin()));


-- Rules and channels that make sense ---------------------------------------------------------------------------------

create function private.check_alert_rule() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.tenant_id is not null and not (select y.is_of_tenants from public.alert_rule_types y where y.type = new.type) then
    perform private.raise_error(400, 'invalid_alert_rule', format('Rules of type %s are the operator''s.', new.type));
  end if;
  if exists (
    select from unnest(new.channel_ids) i
    where not (tg_op = 'UPDATE' and i = any (old.channel_ids)) and not exists (
      select from public.alert_channels c where c.id = i and c.tenant_id is not distinct from new.tenant_id
    )
  ) then
    perform private.raise_error(400, 'invalid_alert_rule', 'A rule tells the channels of its own tenant.');
  end if;
  if new.type = 'usage_anomaly' and new.window_minutes > 1440 then
    perform private.raise_error(400, 'invalid_alert_rule', 'Unusual usage is looked for in at most a day.');
  end if;
  if tg_op = 'INSERT' and (select count(*) from public.alert_rules r where r.tenant_id = new.tenant_id) >= 50 then
    perform private.raise_error(409, 'too_many_alert_rules', 'A tenant has at most 50 rules.');
  end if;
  return new;
end
$$;
revoke all on function private.check_alert_rule() from public, anon, authenticated, service_role;
create trigger check_alert_rule before insert or update on public.alert_rules
  for each row execute function private.check_alert_rule();

-- A new threshold may lie before the one that counters wait for.
create function private.look_at_thresholds_again() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  with stale as (
    select c.tenant_id, c.metric, c.period, c.subject
    from private.quota_counters c
    where (new.tenant_id is null or c.tenant_id = new.tenant_id) and c.period in ('day', 'month') and c.subject = ''
      and c.next_threshold is distinct from 0
    order by c.metric, c.tenant_id, c.period, c.subject
    for update
  )
  update private.quota_counters c set next_threshold = 0
  from stale s
  where (c.tenant_id, c.metric, c.period, c.subject) = (s.tenant_id, s.metric, s.period, s.subject);
  return null;
end
$$;
revoke all on function private.look_at_thresholds_again() from public, anon, authenticated, service_role;
create trigger look_at_thresholds_again after insert or update of metric, threshold, enabled on public.alert_rules
  for each row when (new.type in ('usage_threshold', 'quota_warning') and new.enabled)
  execute function private.look_at_thresholds_again();

create function private.channel_secret_name(p_channel_id uuid, p_is_previous boolean) returns text
language sql immutable set search_path = '' as $$
  select 'meterbase_channel_' || p_channel_id || case when p_is_previous then '_previous' else '' end
$$;
revoke all on function private.channel_secret_name(uuid, boolean) from public, anon, authenticated, service_role;

create function private.channel_secret(p_channel_id uuid, p_is_previous boolean default false) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select s.decrypted_secret from vault.decrypted_secrets s
    where s.name = private.channel_secret_name(p_channel_id, p_is_previous)
  );
end
$$;
revoke all on function private.channel_secret(uuid, boolean) from public, anon, authenticated, service_role;

create function private.store_channel_secret(p_channel_id uuid, p_secret text, p_is_previous boolean default false) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_name text := private.channel_secret_name(p_channel_id, p_is_previous);
  v_id uuid := (select s.id from vault.secrets s where s.name = v_name);
begin
  if v_id is null then
    perform vault.create_secret(p_secret, v_name);
  else
    perform vault.update_secret(v_id, p_secret);
  end if;
end
$$;
revoke all on function private.store_channel_secret(uuid, text, boolean) from public, anon, authenticated, service_role;

-- As Standard Webhooks has them.
create function private.new_signing_secret() returns text
language sql volatile set search_path = '' as $$
  select 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64')
$$;
revoke all on function private.new_signing_secret() from public, anon, authenticated, service_role;

create function private.refuse_channel(p_message text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.raise_error(400, 'invalid_alert_channel', p_message);
end
$$;
revoke all on function private.refuse_channel(text) from public, anon, authenticated, service_role;

-- Keeps of a channel's config what its type knows, and moves what is secret to Vault. A mask that comes back changes nothing.
create function private.keep_channel_secret() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_config jsonb := new.config;
  v_old jsonb := case when tg_op = 'UPDATE' then old.config else '{}' end;
  v_key text := case new.type when 'slack' then 'webhook_url' when 'pagerduty' then 'routing_key' end;
  v_secret text := v_config ->> v_key;
begin
  if tg_op = 'INSERT' and (select count(*) from public.alert_channels c where c.tenant_id = new.tenant_id) >= 20 then
    perform private.raise_error(409, 'too_many_alert_channels', 'A tenant has at most 20 channels.');
  end if;
  if jsonb_typeof(v_config) is distinct from 'object' then
    perform private.refuse_channel('A channel''s config is an object.');
  end if;
  case new.type
    when 'email' then
      if jsonb_typeof(v_config -> 'recipients') is distinct from 'array'
        or jsonb_array_length(v_config -> 'recipients') not between 1 and 20
        or exists (
          select from jsonb_array_elements(v_config -> 'recipients') r
          where jsonb_typeof(r) <> 'string' or (r #>> '{}') !~ '^[^@\s<>",;]{1,64}@[^@\s<>",;]{1,253}$'
        )
      then
        perform private.refuse_channel('An e-mail channel has 1 to 20 addresses as recipients.');
      end if;
      new.config := jsonb_build_object('recipients', v_config -> 'recipients');
    when 'slack' then
      if v_secret is null or octet_length(v_secret) > 2000
        or v_secret !~ '^https?://[^\s/@]+/[!-~]*$' and v_secret is distinct from v_old ->> v_key
      then
        perform private.refuse_channel('A Slack channel has the URL of an incoming webhook as webhook_url.');
      end if;
      if jsonb_typeof(v_config -> 'channel') not in ('string', 'null') or char_length(v_config ->> 'channel') > 100 then
        perform private.refuse_channel('A Slack channel''s name is a text of at most 100 characters.');
      end if;
      new.config := jsonb_strip_nulls(jsonb_build_object(
        'webhook_url', substring(v_secret from '^https?://[^/]+/') || '…', 'channel', v_config -> 'channel'
      ));
    when 'webhook' then
      if v_config ->> 'url' is null or v_config ->> 'url' !~ '^https?://[^\s/@]+(/\S*)?$' or octet_length(v_config ->> 'url') > 2000 then
        perform private.refuse_channel('A webhook has an http or https URL without credentials as url.');
      end if;
      new.config := jsonb_build_object('url', v_config -> 'url');
      if tg_op = 'INSERT' then
        perform private.store_channel_secret(new.id, private.new_signing_secret());
      end if;
    when 'pagerduty' then
      if v_secret is null or v_secret !~ '^[A-Za-z0-9_-]{8,100}$' and v_secret is distinct from v_old ->> v_key then
        perform private.refuse_channel('A PagerDuty channel has an integration key as routing_key.');
      end if;
      new.config := jsonb_build_object('routing_key', '…' || right(v_secret, 4));
    else
      new.config := '{}';
  end case;
  if v_key is not null and v_secret is distinct from v_old ->> v_key then
    perform private.store_channel_secret(new.id, v_secret);
  elsif v_key is not null then
    new.config := new.config || jsonb_build_object(v_key, v_old -> v_key);
  end if;
  if new.enabled then
    new.disabled_reason := null;
  end if;
  return new;
end
$$;
revoke all on function private.keep_channel_secret() from public, anon, authenticated, service_role;
create trigger keep_channel_secret before insert or update of config, enabled on public.alert_channels
  for each row execute function private.keep_channel_secret();

-- The lane of a channel's messages: its own, but all alert mails of a tenant share one. Invites and billing mails have another.
create function private.channel_lane(p_channel public.alert_channels) returns text
language sql immutable set search_path = '' as $$
  select case p_channel.type when 'email' then 'email:' || coalesce(p_channel.tenant_id::text, 'operator') else p_channel.id::text end
$$;
revoke all on function private.channel_lane(public.alert_channels) from public, anon, authenticated, service_role;

-- What waits for a channel that is disabled or deleted does not leave any more.
create function private.recall_notifications() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  with waiting as (
    select n.id
    from private.outbox o
    join public.alert_notifications n on n.id = o.id
    where o.lane = private.channel_lane(old) and o.status in ('pending', 'failed')
      and n.channel_id = old.id and n.status in ('pending', 'failed')
    order by n.id
    for update of n
  )
  update public.alert_notifications n set status = 'dead', last_error = 'The channel was disabled or deleted.'
  from waiting w
  where n.id = w.id;
  if tg_op = 'DELETE' then
    delete from vault.secrets s
    where s.name in (private.channel_secret_name(old.id, false), private.channel_secret_name(old.id, true));
    update public.alert_rules r set channel_ids = array_remove(r.channel_ids, old.id), enabled = r.enabled and r.channel_ids <> array[old.id]
    where r.tenant_id is not distinct from old.tenant_id and old.id = any (r.channel_ids);
  end if;
  return null;
end
$$;
revoke all on function private.recall_notifications() from public, anon, authenticated, service_role;
create trigger recall_when_disabled after update of enabled on public.alert_channels
  for each row when (old.enabled and not new.enabled) execute function private.recall_notifications();
create trigger recall_when_deleted after delete on public.alert_channels
  for each row execute function private.recall_notifications();

create function private.rotate_channel_secret(p_id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_channel public.alert_channels;
  v_secret text := private.new_signing_secret();
begin
  v_channel := private.lock_channel(p_id);
  if v_channel.type <> 'webhook' then
    perform private.raise_error(409, 'channel_has_no_secret', 'Only webhooks are signed.');
  end if;
  perform private.store_channel_secret(p_id, private.channel_secret(p_id), true);
  perform private.store_channel_secret(p_id, v_secret);
  update public.alert_channels c set secret_rotated_at = now() where c.id = p_id;
  return v_secret;
end
$$;
revoke all on function private.rotate_channel_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function private.rotate_channel_secret(uuid) to authenticated, service_role;

create function public.rotate_channel_secret(id uuid) returns text
language sql volatile security invoker set search_path = '' as $$ select * from private.rotate_channel_secret($1) $$;
comment on function public.rotate_channel_secret(uuid) is
  'Gives a webhook a new signing secret, shown here alone; the one before it signs too for 24 hours. Needs alerts:write.';
revoke all on function public.rotate_channel_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function public.rotate_channel_secret(uuid) to authenticated, service_role;

-- Ends the call with PT403 unless the caller has a permission for what is of a tenant, or for the operator's.
create function private.require_alert_permission(p_tenant_id uuid, p_permission text) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_tenant_id is null then
    perform private.require_platform_admin();
  else
    perform private.require_permission(p_tenant_id, p_permission);
  end if;
end
$$;
revoke all on function private.require_alert_permission(uuid, text) from public, anon, authenticated, service_role;

-- A channel, locked, for somebody who may change it; PT404 where there is none for them to see.
create function private.lock_channel(p_id uuid) returns public.alert_channels
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_channel public.alert_channels;
begin
  select * into v_channel from public.alert_channels c where c.id = p_id for no key update;
  if not found or v_channel.tenant_id is not null and not private.has_permission(v_channel.tenant_id, 'alerts:read') then
    perform private.raise_error(404, 'alert_channel_not_found', 'There is no such channel.');
  end if;
  perform private.require_alert_permission(v_channel.tenant_id, 'alerts:write');
  return v_channel;
end
$$;
revoke all on function private.lock_channel(uuid) from public, anon, authenticated, service_role;

create function private.register_operator_channels(p_channels jsonb) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_wanted record;
  v_changed int := 0;
  v_id uuid;
  v_secret text;
begin
  if p_channels is null or jsonb_typeof(p_channels) <> 'array' then
    perform private.raise_error(400, 'invalid_channels', 'Channels are a JSON array of {type, name, config, min_severity?}.');
  end if;
  perform pg_advisory_xact_lock(hashtext('meterbase.register_operator_channels'));
  delete from public.alert_channels c
  where c.is_from_environment and not exists (
    select from jsonb_to_recordset(p_channels) w (type public.alert_channel_type, name text)
    where w.type = c.type and w.name = c.name
  );
  get diagnostics v_changed = row_count;
  for v_wanted in
    select w.type, w.name, w.config, coalesce(w.min_severity, 'low') as min_severity
    from jsonb_to_recordset(p_channels)
      w (type public.alert_channel_type, name text, config jsonb, min_severity public.alert_severity)
  loop
    v_secret := case v_wanted.type
      when 'slack' then v_wanted.config ->> 'webhook_url' when 'pagerduty' then v_wanted.config ->> 'routing_key' end;
    select c.id into v_id from public.alert_channels c
    where c.is_from_environment and c.type = v_wanted.type and c.name = v_wanted.name;
    if not found then
      insert into public.alert_channels (type, name, config, min_severity, is_from_environment)
      values (v_wanted.type, v_wanted.name, v_wanted.config, v_wanted.min_severity, true);
      v_changed := v_changed + 1;
    elsif v_secret is not null and v_secret is distinct from private.channel_secret(v_id)
      or exists (
        select from public.alert_channels c
        where c.id = v_id and (
          c.config - array['webhook_url', 'routing_key'] <> v_wanted.config - array['webhook_url', 'routing_key']
          or c.min_severity <> v_wanted.min_severity
        )
      )
    then
      update public.alert_channels c
      set config = v_wanted.config, min_severity = v_wanted.min_severity, enabled = true
      where c.id = v_id;
      v_changed := v_changed + 1;
    end if;
  end loop;
  return v_changed;
end
$$;
revoke all on function private.register_operator_channels(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.register_operator_channels(jsonb) to service_role;

create function public.register_operator_channels(channels jsonb) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.register_operator_channels($1) $$;
comment on function public.register_operator_channels(jsonb) is
  'Makes [{type, name, config, min_severity?}] the operator''s channels from the environment, in place of those before; says how many changed. Service role.';
revoke all on function public.register_operator_channels(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.register_operator_channels(jsonb) to service_role;


-- Telling ------------------------------------------------------------------------------------------------------------

-- An alert as messages carry it.
create function private.alert_facts(p_alert public.alerts, p_tenant_name text, p_rule_name text) returns jsonb
language sql immutable set search_path = '' as $$
  select to_jsonb(p_alert) - array['acknowledged_by', 'resolved_by', 'last_occurred_at', 'cleared_at']
    || jsonb_build_object('tenant_name', p_tenant_name, 'rule_name', p_rule_name)
$$;
revoke all on function private.alert_facts(public.alerts, text, text) from public, anon, authenticated, service_role;

-- Puts messages of alerts into the outbox: of an opened one to every channel of its rule; of what becomes of it to those
-- that were told and can show it. Mails to addresses that nobody has confirmed are few: what is beyond 500 of a tenant in an
-- hour is kept, and not sent.
create function private.tell_alerts(p_alert_ids uuid[], p_event text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into public.alert_notifications (
    tenant_id, alert_id, channel_id, kind, recipient, lane, payload, status, last_error, created_at
  )
  select m.tenant_id, m.alert_id, m.channel_id, 'alert', m.recipient, m.lane, m.payload,
    case when m.is_beyond then 'dead' else 'pending' end::public.notification_status,
    case when m.is_beyond then 'The tenant has sent 500 alert mails within an hour.' end, clock_timestamp()
  from (
    select a.tenant_id, a.id as alert_id, c.id as channel_id, r.recipient, private.channel_lane(c) as lane,
      jsonb_build_object('event', p_event, 'alert', private.alert_facts(a, t.name, u.name)) as payload,
      c.type = 'email' and a.tenant_id is not null and 500 < (
        row_number() over (partition by a.tenant_id, c.type order by a.id, c.id, r.recipient) + s.mails
      ) as is_beyond
    from public.alerts a
    left join public.alert_rules u on u.id = a.rule_id
    left join public.tenants t on t.id = a.tenant_id
    join public.alert_channels c
      on (c.tenant_id = a.tenant_id or c.tenant_id is null and a.tenant_id is null) and c.enabled and a.severity >= c.min_severity
    cross join lateral (
      select count(*) as mails
      from (
        select from public.alert_notifications n
        where c.type = 'email' and n.tenant_id = a.tenant_id and n.created_at > now() - interval '1 hour' and n.kind = 'alert'
          and n.recipient is not null
        limit 500
      ) n
    ) s
    left join lateral jsonb_array_elements_text(case c.type when 'email' then c.config -> 'recipients' end) r (recipient) on true
    where a.id = any (p_alert_ids)
      and case p_event
        when 'opened' then u.channel_ids = '{}' or c.id = any (u.channel_ids)
        else c.type = any (
            case p_event when 'resolved' then '{pagerduty,webhook,slack}' else '{pagerduty,webhook}' end::public.alert_channel_type[]
          )
          and exists (select from public.alert_notifications n where n.alert_id = a.id and n.channel_id = c.id)
      end
  ) m;
end
$$;
revoke all on function private.tell_alerts(uuid[], text) from public, anon, authenticated, service_role;

create function private.test_alert_channel(p_channel_id uuid) returns setof uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_channel public.alert_channels := private.lock_channel(p_channel_id);
  v_alert public.alerts;
begin
  if not v_channel.enabled then
    perform private.raise_error(409, 'channel_disabled', 'The channel is disabled.');
  end if;
  if (
    select count(*) from public.alert_notifications n
    where n.tenant_id = v_channel.tenant_id and n.created_at > now() - interval '1 hour' and n.kind = 'alert' and n.alert_id is null
  ) >= 60 then
    perform private.raise_error(429, 'too_many_tests', 'A tenant sends at most 60 test messages an hour.');
  end if;
  v_alert.id := gen_random_uuid();
  v_alert.tenant_id := v_channel.tenant_id;
  v_alert.type := 'test';
  v_alert.severity := 'low';
  v_alert.title := 'Test alert';
  v_alert.message := 'This is a test of a channel. Nothing is wrong.';
  v_alert.data := '{"test": true}';
  v_alert.action_required := false;
  v_alert.dedup_key := 'test:' || v_channel.id;
  v_alert.status := 'open';
  v_alert.occurrences := 1;
  v_alert.opened_at := now();
  return query
    insert into public.alert_notifications (tenant_id, channel_id, kind, recipient, lane, payload)
    select v_channel.tenant_id, v_channel.id, 'alert', r.recipient, private.channel_lane(v_channel),
      jsonb_build_object('event', 'test', 'alert', private.alert_facts(
        v_alert, (select t.name from public.tenants t where t.id = v_channel.tenant_id), null
      ))
    from (values (1)) one
    left join lateral jsonb_array_elements_text(case v_channel.type when 'email' then v_channel.config -> 'recipients' end) r (recipient) on true
    returning id;
end
$$;
revoke all on function private.test_alert_channel(uuid) from public, anon, authenticated, service_role;
grant execute on function private.test_alert_channel(uuid) to authenticated, service_role;

create function public.test_alert_channel(channel_id uuid) returns setof uuid
language sql volatile security invoker set search_path = '' as $$ select * from private.test_alert_channel($1) $$;
comment on function public.test_alert_channel(uuid) is
  'Sends a test message through a channel and returns the ids of its notifications, one for each recipient. Needs alerts:write.';
revoke all on function public.test_alert_channel(uuid) from public, anon, authenticated, service_role;
grant execute on function public.test_alert_channel(uuid) to authenticated, service_role;


-- What becomes of an alert -------------------------------------------------------------------------------------------

-- An alert, locked, for somebody who may change it; PT404 where there is none for them to see.
create function private.lock_alert(p_id uuid) returns public.alerts
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_alert public.alerts;
begin
  select * into v_alert from public.alerts a where a.id = p_id for no key update;
  if not found or v_alert.tenant_id is not null and not private.has_permission(v_alert.tenant_id, 'alerts:read') then
    perform private.raise_error(404, 'alert_not_found', 'There is no such alert.');
  end if;
  perform private.require_alert_permission(v_alert.tenant_id, 'alerts:write');
  return v_alert;
end
$$;
revoke all on function private.lock_alert(uuid) from public, anon, authenticated, service_role;

-- Who acts, as alerts remember it.
create function private.alert_actor() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return case when private.is_trusted() then 'system' else coalesce(auth.uid(), private.api_key_id())::text end;
end
$$;
revoke all on function private.alert_actor() from public, anon, authenticated, service_role;

-- The time of whose an alert is.
create function private.alert_now(p_tenant_id uuid) returns timestamptz
language plpgsql stable security definer set search_path = '' as $$
begin
  return case when p_tenant_id is null then now() else private.tenant_now(p_tenant_id) end;
end
$$;
revoke all on function private.alert_now(uuid) from public, anon, authenticated, service_role;

create function private.acknowledge_alert(p_id uuid) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_alert public.alerts := private.lock_alert(p_id);
begin
  if v_alert.status <> 'open' then
    return 0;
  end if;
  update public.alerts a set status = 'acknowledged', acknowledged_at = private.alert_now(a.tenant_id), acknowledged_by = private.alert_actor()
  where a.id = p_id;
  perform private.tell_alerts(array[p_id], 'acknowledged');
  return 1;
end
$$;
revoke all on function private.acknowledge_alert(uuid) from public, anon, authenticated, service_role;
grant execute on function private.acknowledge_alert(uuid) to authenticated, service_role;

create function public.acknowledge_alert(id uuid) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.acknowledge_alert($1) $$;
comment on function public.acknowledge_alert(uuid) is
  'Says that somebody looks after an open alert: 1, or 0 when that is known or it is resolved. Needs alerts:write.';
revoke all on function public.acknowledge_alert(uuid) from public, anon, authenticated, service_role;
grant execute on function public.acknowledge_alert(uuid) to authenticated, service_role;

create function private.resolve_alert(p_id uuid, p_note text) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_alert public.alerts := private.lock_alert(p_id);
begin
  if char_length(p_note) > 2000 then
    perform private.raise_error(400, 'invalid_note', 'A note has at most 2000 characters.');
  end if;
  if v_alert.status = 'resolved' then
    return 0;
  end if;
  update public.alerts a
  set status = 'resolved', resolved_at = private.alert_now(a.tenant_id), resolved_by = private.alert_actor(), resolution_note = p_note
  where a.id = p_id;
  perform private.tell_alerts(array[p_id], 'resolved');
  return 1;
end
$$;
revoke all on function private.resolve_alert(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.resolve_alert(uuid, text) to authenticated, service_role;

create function public.resolve_alert(id uuid, note text default null) returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.resolve_alert($1, $2) $$;
comment on function public.resolve_alert(uuid, text) is
  'Resolves an alert: 1, or 0 when it is resolved already. It does not open again before its condition was over. Needs alerts:write.';
revoke all on function public.resolve_alert(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.resolve_alert(uuid, text) to authenticated, service_role;

create function private.auto_resolve_stale_alerts(p_max_age interval default '7 days') returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  perform private.require_platform_admin();
  if p_max_age is null or p_max_age <= interval '0' then
    perform private.raise_error(400, 'invalid_max_age', 'Alerts are stale after some time.');
  end if;
  with stale as (
    select a.id
    from public.alerts a left join public.tenants t on t.id = a.tenant_id
    where a.status <> 'resolved' and not a.action_required and a.last_occurred_at < now() + coalesce(t.clock_offset, '0') - p_max_age
    order by a.id
    for no key update of a skip locked
  ),
  resolved as (
    update public.alerts a
    set status = 'resolved', resolved_at = private.alert_now(a.tenant_id), resolved_by = 'system',
        resolution_note = 'Nothing new was seen for a long time.'
    from stale s where a.id = s.id
    returning a.id
  )
  select array_agg(r.id) into v_ids from resolved r;
  perform private.tell_alerts(v_ids, 'resolved');
  return coalesce(cardinality(v_ids), 0);
end
$$;
revoke all on function private.auto_resolve_stale_alerts(interval) from public, anon, authenticated, service_role;
grant execute on function private.auto_resolve_stale_alerts(interval) to authenticated, service_role;

create function public.auto_resolve_stale_alerts(max_age interval default '7 days') returns int
language sql volatile security invoker set search_path = '' as $$ select * from private.auto_resolve_stale_alerts($1) $$;
comment on function public.auto_resolve_stale_alerts(interval) is
  'Resolves the alerts of which nothing new was seen for max_age, but those that require an action, and says how many. Platform admins.';
revoke all on function public.auto_resolve_stale_alerts(interval) from public, anon, authenticated, service_role;
grant execute on function public.auto_resolve_stale_alerts(interval) to authenticated, service_role;


-- The operator's rules -----------------------------------------------------------------------------------------------

insert into public.alert_rules (name, type, threshold, enabled) values
  ('Something is out of order', 'system_error', null, true),
  ('Webhooks fail', 'webhook_failure_rate', null, true),
  ('An event of Stripe''s is not applied', 'stripe_event_unapplied', null, true),
  ('Stripe''s API fails', 'stripe_api_errors', null, true),
  ('Payments fail', 'payment_failure_rate', null, true),
  ('Much quota is denied', 'quota_denial_rate', null, true),
  ('Many tenants are denied quota', 'quota_denied_tenants', null, true),
  ('Several tenants use up a rate limit', 'rate_limited_tenants', null, true),
  ('Many checkouts from one address', 'checkout_burst', null, true),
  ('Somebody tries the admin area', 'unauthorized_admin_access', null, true),
  ('A critical event was audited', 'critical_audit_event', null, true),
  ('Few connections to the database are left', 'database_connections', 90, true),
  ('No connection to the database is left', 'database_connections', 100, true),
  ('A schedule failed or is late', 'schedule_failed', null, true),
  ('A tenant nears its quota', 'usage_threshold', null, false),
  ('A tenant is over its quota', 'overage_detected', null, false),
  ('A tenant''s payment failed', 'payment_failed', null, false),
  ('A tenant''s cost rises', 'cost_spike', null, false),
  ('A tenant''s usage is unusual', 'usage_anomaly', null, false);
