-- Usage: what happened, each event counted once.
--
-- An event is known by (tenant, event_id), whatever its timestamp: the same id again within 32 days is a duplicate and
-- changes nothing. An event may be at most 30 days old and 5 minutes ahead, so a key outlives every chance of its event.
-- One bad event never sinks its batch: it is rejected with its index and a stable reason.
--
-- Events are partitioned by the UTC day on which they happened. Each call of record_usage leaves one row in usage_batches
-- and stamps its events with it: the work list of the roll-ups.

set lock_timeout = '5s';
set statement_timeout = '60s';

create table public.usage_event_types (
  id text primary key,
  description text not null,
  constraint usage_event_types_id_form check (id ~ '^[a-z][a-z0-9_]{0,62}$')
);
comment on table public.usage_event_types is 'The kinds of events that can be recorded.';
alter table public.usage_event_types enable row level security;
revoke all on public.usage_event_types from anon, authenticated, service_role;
grant select on public.usage_event_types to anon, authenticated;
grant select, insert, update, delete on public.usage_event_types to service_role;
create policy everyone_reads_event_types on public.usage_event_types for select to anon, authenticated using (true);

insert into public.usage_event_types (id, description) values
  ('api_call', 'A request to the API'),
  ('chat_message', 'A chat message and its answer'),
  ('embedding', 'An embedding generated'),
  ('search', 'A semantic search'),
  ('kb_ingest', 'Content added to a knowledge base'),
  ('data_export', 'A data export'),
  ('ai_request', 'A request to a model');

create table public.model_prices (
  model text primary key,
  input_per_million numeric(12, 6) not null,
  output_per_million numeric(12, 6) not null default 0,
  constraint model_prices_not_negative check (input_per_million >= 0 and output_per_million >= 0)
);
comment on table public.model_prices is 'US dollars per million tokens, from which an event that names its model gets its cost.';
alter table public.model_prices enable row level security;
revoke all on public.model_prices from anon, authenticated, service_role;
grant select on public.model_prices to anon, authenticated;
grant select, insert, update, delete on public.model_prices to service_role;
create policy everyone_reads_model_prices on public.model_prices for select to anon, authenticated using (true);
create trigger audit_change after insert or update or delete on public.model_prices
  for each row execute function private.audit_change('model_price', 'model');

insert into public.model_prices (model, input_per_million, output_per_million) values
  ('text-embedding-ada-002', 0.02, 0),
  ('text-embedding-3-small', 0.02, 0),
  ('text-embedding-3-large', 0.13, 0),
  ('gpt-4o', 2.50, 10.00),
  ('gpt-4o-mini', 0.15, 0.60),
  ('gpt-4.1', 2.00, 8.00),
  ('gpt-4.1-mini', 0.40, 1.60),
  ('gpt-4.1-nano', 0.10, 0.40);

create table public.tenant_usage_realtime (
  tenant_id uuid not null,
  event_timestamp timestamptz not null,
  event_id text not null,
  event_type text not null,
  subject text not null default '',
  tokens_consumed bigint not null default 0,
  cost_usd numeric(20, 10),
  api_response_time_ms numeric(12, 3),
  api_status_code smallint,
  quantity numeric(20, 6) not null default 1,
  metadata jsonb not null default '{}',
  batch_id bigint not null,
  primary key (tenant_id, event_timestamp, event_id)
) partition by range (event_timestamp);
comment on table public.tenant_usage_realtime is 'Usage events, a partition a day. Written by record_usage alone.';
comment on column public.tenant_usage_realtime.cost_usd is 'As reported, or from model_prices; null when neither is known.';
alter table public.tenant_usage_realtime enable row level security;
revoke all on public.tenant_usage_realtime from anon, authenticated, service_role;
grant select on public.tenant_usage_realtime to authenticated, service_role;
create policy members_read_usage_events on public.tenant_usage_realtime for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index tenant_usage_realtime_by_batch on public.tenant_usage_realtime (batch_id);

create table private.usage_event_keys (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  event_id text not null,
  recorded_at timestamptz not null default now(),
  primary key (tenant_id, event_id)
);
comment on table private.usage_event_keys is 'The ids seen in the last 32 days: one event, once. Unpartitioned, since the timestamp is no part of the identity.';
create index usage_event_keys_by_age on private.usage_event_keys using brin (recorded_at);

create table private.usage_batches (
  batch_id bigint generated always as identity primary key,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  first_ts timestamptz not null,
  last_ts timestamptz not null
);
comment on table private.usage_batches is 'Batches of events that no roll-up has counted yet.';
create index usage_batches_by_tenant on private.usage_batches (tenant_id);


create function private.ensure_usage_partition(p_day timestamptz) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.ensure_partition(
    'tenant_usage_realtime', (to_char(p_day at time zone 'UTC', '"tenant_usage_realtime_y"YYYY"m"MM"d"DD'))::name,
    p_day, p_day + interval '24 hours'
  );
end
$$;
revoke all on function private.ensure_usage_partition(timestamptz) from public, anon, authenticated, service_role;

-- Makes the partitions of the days from p_back ago to p_ahead.
create function private.ensure_usage_partitions(p_back int default 1, p_ahead int default 7) returns void
language plpgsql volatile set search_path = '' as $$
declare
  v_today timestamptz := date_trunc('day', now(), 'UTC');
begin
  for v_day in -p_back..p_ahead loop
    perform private.ensure_usage_partition(v_today + v_day * interval '24 hours');
  end loop;
end
$$;
revoke all on function private.ensure_usage_partitions(int, int) from public, anon, authenticated, service_role;

select private.ensure_usage_partitions();


-- Recording ----------------------------------------------------------------------------------------------------------

-- A timestamp in ISO 8601 (without an offset: UTC), or null when it is none. A failed cast would end the whole call, so
-- nothing is cast that has not been checked.
create function private.parse_timestamp(p_text text) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_day int;
begin
  if p_text is null or p_text !~ (
    '^(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ]'
    '(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-5]):?[0-5]\d)?$'
  ) then
    return null;
  end if;
  v_day := substr(p_text, 9, 2)::int;
  if v_day > 28
    and v_day > extract(day from (substr(p_text, 1, 7) || '-01')::date + interval '1 month' - interval '1 day')
  then
    return null;
  end if;
  return case when p_text ~ '(?:Z|[+-]\d\d:?\d\d)$' then p_text else p_text || 'Z' end::timestamptz;
end
$$;
revoke all on function private.parse_timestamp(text) from public, anon, authenticated, service_role;

-- An event as it is checked: its place in the call, why it is refused, and its values.
create type private.checked_event as (
  index int,
  reason text,
  event_id text,
  event_type text,
  event_timestamp timestamptz,
  subject text,
  tokens_consumed bigint,
  cost_usd numeric,
  api_response_time_ms numeric,
  api_status_code smallint,
  quantity numeric,
  metadata jsonb
);

-- A JSON number within [p_min, p_max], a whole one if asked: null when it is, else why not. Absent is fine.
create function private.number_fault(p_value jsonb, p_min numeric, p_max numeric, p_is_whole boolean) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_value is null or p_value = 'null' then null
    when jsonb_typeof(p_value) <> 'number' then 'not_a_number'
    when p_value::numeric < 0 then 'negative_amount'
    when p_value::numeric not between p_min and p_max then 'out_of_range'
    when p_is_whole and p_value::numeric <> trunc(p_value::numeric) then 'not_an_integer'
  end;
end
$$;
revoke all on function private.number_fault(jsonb, numeric, numeric, boolean)
  from public, anon, authenticated, service_role;

-- Why an event is refused: `<reason> <field>`, or null when it is fine. p_at is the tenant's time.
create function private.event_fault(p_event jsonb, p_timestamp timestamptz, p_is_known_type boolean, p_at timestamptz)
returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when jsonb_typeof(p_event) <> 'object' then 'not_an_object'
    when coalesce(p_event ->> 'event_id', '') = '' then 'missing_field event_id'
    when jsonb_typeof(p_event -> 'event_id') <> 'string' or char_length(p_event ->> 'event_id') > 255 then 'invalid_value event_id'
    when coalesce(p_event ->> 'event_type', '') = '' then 'missing_field event_type'
    when not p_is_known_type then 'unknown_event_type event_type'
    when p_timestamp is null then 'invalid_timestamp event_timestamp'
    when p_timestamp < now() - interval '30 days' then 'too_old event_timestamp'
    when p_timestamp > p_at + interval '5 minutes' then 'in_future event_timestamp'
    when jsonb_typeof(p_event -> 'subject') not in ('string', 'null') or char_length(p_event ->> 'subject') > 255
      then 'invalid_value subject'
    when jsonb_typeof(p_event -> 'metadata') not in ('object', 'null') then 'not_an_object metadata'
    when octet_length((p_event -> 'metadata')::text) > 16384 then 'too_large metadata'
    else coalesce(
      private.number_fault(p_event -> 'tokens_consumed', 0, 9007199254740991, true) || ' tokens_consumed',
      private.number_fault(p_event -> 'quantity', 0, 9999999999999, false) || ' quantity',
      private.number_fault(p_event -> 'cost_usd', 0, 999999999, false) || ' cost_usd',
      private.number_fault(p_event -> 'api_response_time_ms', 0, 999999999, false) || ' api_response_time_ms',
      private.number_fault(p_event -> 'api_status_code', 100, 599, true) || ' api_status_code'
    )
  end;
end
$$;
revoke all on function private.event_fault(jsonb, timestamptz, boolean, timestamptz)
  from public, anon, authenticated, service_role;

-- The cost of tokens at a model's prices, or null for a model without. Where the event does not say which tokens went in
-- and which came out, all are priced as input.
create function private.model_cost(p_metadata jsonb, p_tokens bigint, p_input numeric, p_output numeric) returns numeric
language sql immutable set search_path = '' as $$
  select least(9999999999, case
    when private.number_fault(p_metadata -> 'prompt_tokens', 0, 9007199254740991, true) is null
      and private.number_fault(p_metadata -> 'completion_tokens', 0, 9007199254740991, true) is null
      and jsonb_typeof(p_metadata -> 'prompt_tokens') = 'number'
      and jsonb_typeof(p_metadata -> 'completion_tokens') = 'number'
    then (p_metadata ->> 'prompt_tokens')::numeric * p_input + (p_metadata ->> 'completion_tokens')::numeric * p_output
    else p_tokens * p_input
  end / 1000000)
  where p_input is not null
$$;
revoke all on function private.model_cost(jsonb, bigint, numeric, numeric) from public, anon, authenticated, service_role;

create type public.record_usage_answer as (accepted int, duplicates int, rejected jsonb);
comment on type public.record_usage_answer is 'rejected: an array of {index, reason, field, event_id}; the index is the event''s place in the call, from 0.';

-- Records events of a tenant, all for p_subject, or each for the subject that it names when that is null.
create function private.record_events(p_tenant_id uuid, p_subject text, p_events jsonb, p_at timestamptz)
returns public.record_usage_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_batch_id bigint;
  v_first timestamptz;
  v_last timestamptz;
  v_events private.checked_event[];
  v_answer public.record_usage_answer;
begin
  v_events := array(
    select row(
      i.ordinal - 1, f.fault, i.event ->> 'event_id', i.event ->> 'event_type', p.event_timestamp,
      coalesce(p_subject, i.event ->> 'subject', ''),
      case when f.fault is null then coalesce((i.event ->> 'tokens_consumed')::numeric::bigint, 0) end,
      case when f.fault is null then (i.event ->> 'cost_usd')::numeric end,
      case when f.fault is null then (i.event ->> 'api_response_time_ms')::numeric end,
      case when f.fault is null then (i.event ->> 'api_status_code')::numeric::smallint end,
      case when f.fault is null then coalesce((i.event ->> 'quantity')::numeric, 1) end,
      coalesce(nullif(i.event -> 'metadata', 'null'), '{}')
    )::private.checked_event
    from jsonb_array_elements(p_events) with ordinality i (event, ordinal)
    cross join lateral (
      select case
        when i.event -> 'event_timestamp' is null or i.event -> 'event_timestamp' = 'null' then p_at
        else private.parse_timestamp(i.event ->> 'event_timestamp')
      end
      offset 0 -- or each mention of the column would parse again
    ) as p (event_timestamp)
    left join public.usage_event_types t on t.id = i.event ->> 'event_type'
    cross join lateral (
      select private.event_fault(i.event, p.event_timestamp, t.id is not null, p_at) offset 0
    ) as f (fault)
  );

  perform private.ensure_usage_partition(d.day)
  from (select distinct date_trunc('day', e.event_timestamp, 'UTC') from unnest(v_events) e where e.reason is null) as d (day);

  v_batch_id := nextval(pg_get_serial_sequence('private.usage_batches', 'batch_id'));
  with distinct_events as materialized (
    select distinct on (e.event_id) e.* from unnest(v_events) e where e.reason is null order by e.event_id, e.index
  ),
  fresh_keys as (
    -- In key order: two batches with the same events would otherwise wait for each other.
    insert into private.usage_event_keys (tenant_id, event_id)
    select p_tenant_id, e.event_id from distinct_events e order by e.event_id
    on conflict do nothing
    returning event_id
  ),
  inserted as (
    insert into public.tenant_usage_realtime (
      tenant_id, event_timestamp, event_id, event_type, subject, tokens_consumed, cost_usd, api_response_time_ms,
      api_status_code, quantity, metadata, batch_id
    )
    select p_tenant_id, e.event_timestamp, e.event_id, e.event_type, e.subject, e.tokens_consumed,
      coalesce(e.cost_usd, private.model_cost(e.metadata, e.tokens_consumed, m.input_per_million, m.output_per_million)),
      e.api_response_time_ms, e.api_status_code, e.quantity, e.metadata, v_batch_id
    from distinct_events e
    left join public.model_prices m on m.model = e.metadata ->> 'model'
    -- A hashed lookup: as a join, which the planner takes for a small one, it would compare each event with each key.
    where (e.event_id in (select k.event_id from fresh_keys k)) is true
    returning event_timestamp
  )
  select count(*), min(event_timestamp), max(event_timestamp) into v_answer.accepted, v_first, v_last from inserted;

  if v_answer.accepted > 0 then
    insert into private.usage_batches (batch_id, tenant_id, first_ts, last_ts)
    overriding system value values (v_batch_id, p_tenant_id, v_first, v_last);
  end if;

  v_answer.duplicates := (select count(*) from unnest(v_events) e where e.reason is null) - v_answer.accepted;
  v_answer.rejected := coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'index', e.index,
      'reason', split_part(e.reason, ' ', 1),
      'field', nullif(split_part(e.reason, ' ', 2), ''),
      'event_id', left(e.event_id, 255)
    )) order by e.index)
    from unnest(v_events) e where e.reason is not null
  ), '[]');
  return v_answer;
end
$$;
revoke all on function private.record_events(uuid, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

-- Records the event that belongs to something else, such as a settled reservation; PT400 where a batch would reject it.
create function private.record_one_event(p_tenant_id uuid, p_subject text, p_event jsonb, p_at timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_answer public.record_usage_answer := private.record_events(p_tenant_id, p_subject, jsonb_build_array(p_event), p_at);
  v_fault jsonb := v_answer.rejected -> 0;
begin
  if v_fault is not null then
    perform private.raise_error(
      400, v_fault ->> 'reason', concat('The usage event was rejected: ', v_fault ->> 'reason', ' ', v_fault ->> 'field')
    );
  end if;
end
$$;
revoke all on function private.record_one_event(uuid, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

create function private.record_usage(p_tenant_id uuid, p_events jsonb) returns public.record_usage_answer
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.require_permission(p_tenant_id, 'usage:write');
  if p_events is null or jsonb_typeof(p_events) <> 'array' then
    perform private.raise_error(400, 'invalid_events', 'Events are a JSON array of objects.');
  end if;
  if jsonb_array_length(p_events) > 5000 then
    perform private.raise_error(400, 'too_many_events', 'A call takes at most 5000 events.');
  end if;
  return private.record_events(
    p_tenant_id,
    case when not private.is_trusted() then private.resolve_subject(null) end,
    p_events,
    private.tenant_now(p_tenant_id)
  );
end
$$;
revoke all on function private.record_usage(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.record_usage(uuid, jsonb) to authenticated, service_role;

create function public.record_usage(tenant_id uuid, events jsonb) returns setof public.record_usage_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.record_usage($1, $2) $$;
comment on function public.record_usage(uuid, jsonb) is
  'Records up to 5000 usage events, each once by its event_id, and says how many were accepted, duplicates and rejected. Needs usage:write.';
revoke all on function public.record_usage(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.record_usage(uuid, jsonb) to authenticated, service_role;


-- Reading ------------------------------------------------------------------------------------------------------------

create type public.usage_summary as (
  tenant_id uuid,
  period_type text,
  period_start timestamptz,
  period_end timestamptz,
  api_calls_total bigint,
  api_calls_successful bigint,
  api_calls_failed bigint,
  api_calls_rate_limited bigint,
  api_latency_avg_ms numeric,
  api_latency_p50_ms numeric,
  api_latency_p95_ms numeric,
  api_latency_p99_ms numeric,
  chat_messages_sent bigint,
  chat_messages_received bigint,
  chat_sessions_created bigint,
  chat_avg_response_time_ms numeric,
  embeddings_generated bigint,
  embeddings_tokens_used bigint,
  semantic_searches_performed bigint,
  total_tokens_used bigint,
  estimated_cost_usd numeric,
  quota_limit bigint,
  quota_remaining bigint,
  quota_exceeded_count bigint,
  error_count bigint,
  error_rate numeric,
  peak_qps bigint
);
comment on type public.usage_summary is
  'Usage of one period. Calls are events with a status code: 429 is rate limited, 400 and above failed. error_rate is failed calls per call, 0 to 1. quota_* are those of tokens.';

-- The tenant's UTC day so far, from its raw events.
create function private.get_today_usage(p_tenant_id uuid) returns public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_at timestamptz;
  v_day timestamptz;
  v_usage public.usage_summary;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  v_at := private.tenant_now(p_tenant_id);
  v_day := private.window_start('day', v_at);

  with events as materialized (
    select e.*, e.event_type = 'chat_message' as is_chat,
      e.api_status_code >= 400 and e.api_status_code <> 429 as is_failure
    from public.tenant_usage_realtime e
    where e.tenant_id = p_tenant_id and e.event_timestamp >= v_day and e.event_timestamp < v_day + interval '24 hours'
  )
  select p_tenant_id, 'daily', v_day, v_day + interval '24 hours',
    count(e.api_status_code),
    count(*) filter (where e.api_status_code < 400),
    count(*) filter (where e.is_failure),
    count(*) filter (where e.api_status_code = 429),
    round(avg(e.api_response_time_ms), 3),
    (percentile_disc(0.5) within group (order by e.api_response_time_ms)),
    (percentile_disc(0.95) within group (order by e.api_response_time_ms)),
    (percentile_disc(0.99) within group (order by e.api_response_time_ms)),
    count(*) filter (where e.is_chat and coalesce(e.metadata ->> 'direction', 'sent') = 'sent'),
    count(*) filter (where e.is_chat and e.metadata ->> 'direction' = 'received'),
    count(distinct e.metadata ->> 'session_id') filter (where e.is_chat),
    round(avg(e.api_response_time_ms) filter (where e.is_chat), 3),
    coalesce(sum(e.quantity) filter (where e.event_type = 'embedding'), 0),
    coalesce(sum(e.tokens_consumed) filter (where e.event_type = 'embedding'), 0),
    count(*) filter (where e.event_type = 'search'),
    coalesce(sum(e.tokens_consumed), 0),
    coalesce(sum(e.cost_usd), 0),
    null::bigint, null::bigint, 0,
    count(*) filter (where e.is_failure),
    coalesce(round(count(*) filter (where e.is_failure)::numeric / nullif(count(e.api_status_code), 0), 6), 0),
    coalesce((
      select max(s.calls)
      from (select count(*) from events group by date_trunc('second', event_timestamp)) as s (calls)
    ), 0)
  into v_usage
  from events e;

  select q.limit_value, case when q.limit_value is not null then greatest(q.limit_value - q.used, 0) end
  into v_usage.quota_limit, v_usage.quota_remaining
  from unnest(private.quota_windows(p_tenant_id, 'tokens', '', v_at)) q
  where q.period = 'day';
  select count(*) into v_usage.quota_exceeded_count
  from public.quota_decisions d
  where d.tenant_id = p_tenant_id and d.metric = 'tokens' and d.window_start = v_day and not d.allowed;
  return v_usage;
end
$$;
revoke all on function private.get_today_usage(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_today_usage(uuid) to authenticated, service_role;

create function public.get_today_usage(tenant_id uuid) returns setof public.usage_summary
language sql stable security invoker set search_path = '' as $$ select * from private.get_today_usage($1) $$;
comment on function public.get_today_usage(uuid) is 'The tenant''s usage of this UTC day so far. Needs usage:read.';
revoke all on function public.get_today_usage(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_today_usage(uuid) to authenticated, service_role;


-- Retention ----------------------------------------------------------------------------------------------------------

-- Forgets the ids of events that could no longer be accepted.
create function private.prune_usage_event_keys() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from private.usage_event_keys where recorded_at < now() - interval '32 days';
end
$$;
revoke all on function private.prune_usage_event_keys() from public, anon, authenticated, service_role;
