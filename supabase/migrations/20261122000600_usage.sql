-- Usage: what happened, each event counted once.
--
-- An event is known by (tenant, event_id), whatever its timestamp: the same id again within 32 days is a duplicate and
-- changes nothing. An event may be at most 30 days old and 5 minutes ahead, so a key outlives every chance of its event.
-- One bad event never sinks its batch: it is rejected with its index and a stable reason.
--
-- Events are partitioned by the UTC day on which they happened. Each call of record_usage leaves one row in usage_batches
-- and stamps its events with it: the work list of the roll-ups. A pass takes the batches it sees, adds exactly their events
-- to the hours, days and months in which they happened, and deletes the batches, in one transaction. So an event counts once
-- however late it comes, a writer that is still open is simply not seen yet, and a pass costs what is new. What is read is
-- the roll-ups plus the events of the batches that remain: the tail.
--
-- A roll-up is private.usage_counts, whose every field can be added up: `merge_usage` is the one place that knows how, and
-- `summarize_usage` the one that derives what people read. Calls are events with a status code; 429 is rate limited, other
-- codes from 400 on failed. Chat messages are `received` when their metadata's `direction` says so, and sent otherwise; a
-- session (metadata's `session_id`) counts where its earliest message happened. Percentiles are interpolated (as
-- percentile_cont does), exact up to 200 latencies in a period and within 2 % beyond. peak_qps is the most events in one
-- second; what touches a second counts it anew, at the cost of as many index entries as it has events. quota_* are those of
-- the metric `tokens`: the limit of that period's window, what the recorded tokens leave of it (for the period under way,
-- what enforcement has left), and the denials that have a receipt.
--
-- Order of locks: the roll-ups' lock (passes, recomputations and snapshots take turns), tenants, batches, roll-ups. A pass
-- takes tenants and batches without waiting, and leaves those that it cannot have.

set lock_timeout = '5s';
set statement_timeout = '60s';

create table public.usage_event_types (
  id text primary key,
  description text not null,
  metric text references public.metrics (id) on delete set null,
  constraint usage_event_types_id_form check (id ~ '^[a-z][a-z0-9_]{0,62}$')
);
comment on table public.usage_event_types is 'The kinds of events that can be recorded.';
comment on column public.usage_event_types.metric is 'The metric to which the quantity of such an event adds, beside tokens and api_calls.';
alter table public.usage_event_types enable row level security;
revoke all on public.usage_event_types from anon, authenticated, service_role;
grant select on public.usage_event_types to anon, authenticated;
grant select, insert, update, delete on public.usage_event_types to service_role;
create policy everyone_reads_event_types on public.usage_event_types for select to anon, authenticated using (true);
create index usage_event_types_by_metric on public.usage_event_types (metric);

insert into public.usage_event_types (id, description, metric) values
  ('api_call', 'A request to the API', null),
  ('chat_message', 'A chat message and its answer', 'chat_messages'),
  ('embedding', 'Embeddings generated', 'embeddings'),
  ('search', 'A semantic search', null),
  ('kb_ingest', 'Content added to a knowledge base', null),
  ('data_export', 'A data export', null),
  ('ai_request', 'A request to a model', null),
  ('execution', 'Workflow executions', 'executions'),
  ('run_time', 'Execution time, its quantity in minutes', 'run_minutes'),
  ('analysis_run', 'Analysis runs', 'analysis_runs');

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
comment on column public.tenant_usage_realtime.cost_usd is 'As reported, else from model_prices, else as estimated by the caller; null when none is known.';
alter table public.tenant_usage_realtime enable row level security;
revoke all on public.tenant_usage_realtime from anon, authenticated, service_role;
grant select on public.tenant_usage_realtime to authenticated, service_role;
create policy members_read_usage_events on public.tenant_usage_realtime for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index tenant_usage_realtime_by_batch on public.tenant_usage_realtime (batch_id);
create index tenant_usage_realtime_by_type on public.tenant_usage_realtime (tenant_id, event_type, event_timestamp, event_id);

create table private.usage_event_keys (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  event_id text collate "C" not null, -- an id has no alphabet, and bytes compare faster
  recorded_at timestamptz not null default now(),
  primary key (tenant_id, event_id)
);
comment on table private.usage_event_keys is 'The ids seen in the last 32 days: one event, once. Unpartitioned, since the timestamp is no part of the identity.';
create index usage_event_keys_by_age on private.usage_event_keys (recorded_at);

create table private.usage_batches (
  batch_id bigint generated always as identity primary key,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  first_ts timestamptz not null,
  last_ts timestamptz not null,
  events int not null
);
comment on table private.usage_batches is 'Batches of events, and receipts of denials, that no roll-up has counted yet.';
create index usage_batches_by_tenant on private.usage_batches (tenant_id);

create function private.add_usage_batch(p_tenant_id uuid, p_at timestamptz) returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_batch_id bigint;
begin
  insert into private.usage_batches (tenant_id, first_ts, last_ts, events) values (p_tenant_id, p_at, p_at, 0)
  returning batch_id into v_batch_id;
  return v_batch_id;
end
$$;
revoke all on function private.add_usage_batch(uuid, timestamptz) from public, anon, authenticated, service_role;


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

-- What a timestamp looks like: a day of the calendar from 1900 to 2099 and a time, in ISO 8601, with an offset or without.
create function private.timestamp_pattern() returns text
language plpgsql immutable set search_path = '' as $$
begin
  return '(?:(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))'
    '|(?:19(?:0[48]|[2468][048]|[13579][26])|20(?:[02468][048]|[13579][26]))-02-29)'
    '[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-5]):?[0-5]\d)?';
end
$$;
revoke all on function private.timestamp_pattern() from public, anon, authenticated, service_role;

-- The timestamp that a text is (without an offset: UTC), or null when it is none. A failed cast would end the whole call,
-- so nothing is cast that has not been checked.
create function private.parse_timestamp(p_text text) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return case
    when p_text !~ ('^' || private.timestamp_pattern() || '$') then null
    when p_text ~ '(?:Z|[+-]\d\d:?\d\d)$' then p_text
    else p_text || 'Z'
  end::timestamptz;
end
$$;
revoke all on function private.parse_timestamp(text) from public, anon, authenticated, service_role;

-- An event as it is checked: its place in the call, why it is refused, and its values.
create type private.checked_event as (
  index int,
  reason text,
  event_id text collate "C",
  event_type text,
  event_timestamp timestamptz,
  subject text,
  tokens_consumed bigint,
  cost_usd numeric,
  estimated_cost_usd numeric,
  api_response_time_ms numeric,
  api_status_code smallint,
  quantity numeric,
  metadata jsonb
);

-- A JSON number within [p_min, p_max], a whole one if asked: null when it is, else why not. Absent is fine.
create function private.number_fault(p_value jsonb, p_min numeric, p_max numeric, p_is_whole boolean) returns text
language plpgsql immutable strict set search_path = '' as $$
begin
  return case jsonb_typeof(p_value)
    when 'number' then case
      when p_value::numeric between p_min and p_max then
        case when p_is_whole and p_value::numeric <> trunc(p_value::numeric) then 'not_an_integer' end
      when p_value::numeric < 0 then 'negative_amount'
      else 'out_of_range'
    end
    when 'null' then null
    else 'not_a_number'
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
    -- All numbers in one look; each by itself only to say what is wrong.
    when p_event @? '$ ? (
      (!exists(@.tokens_consumed) || @.tokens_consumed.type() == "number"
        && @.tokens_consumed >= 0 && @.tokens_consumed <= 9007199254740991 && @.tokens_consumed % 1 == 0)
      && (!exists(@.quantity) || @.quantity.type() == "number" && @.quantity >= 0 && @.quantity <= 9999999999999)
      && (!exists(@.cost_usd) || @.cost_usd.type() == "number" && @.cost_usd >= 0 && @.cost_usd <= 999999999)
      && (!exists(@.estimated_cost_usd) || @.estimated_cost_usd.type() == "number"
        && @.estimated_cost_usd >= 0 && @.estimated_cost_usd <= 999999999)
      && (!exists(@.api_response_time_ms) || @.api_response_time_ms.type() == "number"
        && @.api_response_time_ms >= 0 && @.api_response_time_ms <= 999999999)
      && (!exists(@.api_status_code) || @.api_status_code.type() == "number"
        && @.api_status_code >= 100 && @.api_status_code <= 599 && @.api_status_code % 1 == 0)
    )' then null
    else coalesce(
      private.number_fault(p_event -> 'tokens_consumed', 0, 9007199254740991, true) || ' tokens_consumed',
      private.number_fault(p_event -> 'quantity', 0, 9999999999999, false) || ' quantity',
      private.number_fault(p_event -> 'cost_usd', 0, 999999999, false) || ' cost_usd',
      private.number_fault(p_event -> 'estimated_cost_usd', 0, 999999999, false) || ' estimated_cost_usd',
      private.number_fault(p_event -> 'api_response_time_ms', 0, 999999999, false) || ' api_response_time_ms',
      private.number_fault(p_event -> 'api_status_code', 100, 599, true) || ' api_status_code'
    )
  end;
end
$$;
revoke all on function private.event_fault(jsonb, timestamptz, boolean, timestamptz)
  from public, anon, authenticated, service_role;

-- The cost of tokens at a model's prices. Where the event does not say which tokens went in and which came out, all are
-- priced as input.
create function private.model_cost(p_metadata jsonb, p_tokens bigint, p_input numeric, p_output numeric) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  return least(9999999999, case
    when private.number_fault(p_metadata -> 'prompt_tokens', 0, 9007199254740991, true) is null
      and private.number_fault(p_metadata -> 'completion_tokens', 0, 9007199254740991, true) is null
      and jsonb_typeof(p_metadata -> 'prompt_tokens') = 'number'
      and jsonb_typeof(p_metadata -> 'completion_tokens') = 'number'
    then (p_metadata ->> 'prompt_tokens')::numeric * p_input + (p_metadata ->> 'completion_tokens')::numeric * p_output
    else p_tokens * p_input
  end / 1000000);
end
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
  v_are_timestamps boolean;
  v_events private.checked_event[];
  v_days timestamptz[];
  v_valid int;
  v_answer public.record_usage_answer;
begin
  -- So that no partition is dropped between the look whether it is there and the insert.
  lock table only public.tenant_usage_realtime in row exclusive mode;

  -- All timestamps in one look: a regular expression for each would be a third of the cost of an event.
  v_are_timestamps := jsonb_path_query_array(p_events, '$[*].event_timestamp')::text
    ~ ('^\[(?:(?:"' || private.timestamp_pattern() || '"|null)(?:, )?)*\]$');
  v_events := array(
    select row(
      i.ordinal - 1, f.fault, i.event ->> 'event_id', i.event ->> 'event_type', p.event_timestamp,
      coalesce(p_subject, i.event ->> 'subject', ''),
      case when f.fault is null then coalesce((i.event ->> 'tokens_consumed')::numeric::bigint, 0) end,
      case when f.fault is null then (i.event ->> 'cost_usd')::numeric end,
      case when f.fault is null then (i.event ->> 'estimated_cost_usd')::numeric end,
      case when f.fault is null then (i.event ->> 'api_response_time_ms')::numeric end,
      case when f.fault is null then (i.event ->> 'api_status_code')::numeric::smallint end,
      case when f.fault is null then coalesce((i.event ->> 'quantity')::numeric, 1) end,
      coalesce(nullif(i.event -> 'metadata', 'null'), '{}')
    )::private.checked_event
    from jsonb_array_elements(p_events) with ordinality i (event, ordinal)
    cross join lateral (
      select case
        when i.event -> 'event_timestamp' is null or i.event -> 'event_timestamp' = 'null' then p_at
        when v_are_timestamps and right(i.event ->> 'event_timestamp', 1) = 'Z'
          then (i.event ->> 'event_timestamp')::timestamptz
        else private.parse_timestamp(i.event ->> 'event_timestamp')
      end
      offset 0 -- or each mention of the column would parse again
    ) as p (event_timestamp)
    left join public.usage_event_types t on t.id = i.event ->> 'event_type'
    cross join lateral (
      select private.event_fault(i.event, p.event_timestamp, t.id is not null, p_at) offset 0
    ) as f (fault)
  );

  select count(*) filter (where e.reason is null),
    array_agg(distinct date_trunc('day', e.event_timestamp, 'UTC')) filter (where e.reason is null),
    coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'index', e.index,
      'reason', split_part(e.reason, ' ', 1),
      'field', nullif(split_part(e.reason, ' ', 2), ''),
      'event_id', left(e.event_id, 255)
    )) order by e.index) filter (where e.reason is not null), '[]')
  into v_valid, v_days, v_answer.rejected
  from unnest(v_events) e;
  perform private.ensure_usage_partition(d.day) from unnest(v_days) d (day);

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
      case
        when e.cost_usd is not null then e.cost_usd
        when m.model is null then e.estimated_cost_usd
        else private.model_cost(e.metadata, e.tokens_consumed, m.input_per_million, m.output_per_million)
      end,
      e.api_response_time_ms, e.api_status_code, e.quantity, e.metadata, v_batch_id
    from distinct_events e
    left join public.model_prices m on m.model = e.metadata ->> 'model'
    -- A hashed lookup: as a join, which the planner takes for a small one, it would compare each event with each key.
    where (e.event_id in (select k.event_id from fresh_keys k)) is true
    returning event_timestamp
  )
  select count(*), min(event_timestamp), max(event_timestamp) into v_answer.accepted, v_first, v_last from inserted;

  if v_answer.accepted > 0 then
    insert into private.usage_batches (batch_id, tenant_id, first_ts, last_ts, events)
    overriding system value values (v_batch_id, p_tenant_id, v_first, v_last, v_answer.accepted);
  end if;

  v_answer.duplicates := v_valid - v_answer.accepted;
  return v_answer;
end
$$;
revoke all on function private.record_events(uuid, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

-- PT400 where a batch would reject the event.
create function private.check_event(p_event jsonb, p_at timestamptz) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_fault text := private.event_fault(
    p_event,
    case when p_event ->> 'event_timestamp' is null then p_at else private.parse_timestamp(p_event ->> 'event_timestamp') end,
    exists (select from public.usage_event_types where id = p_event ->> 'event_type'), p_at
  );
begin
  if v_fault is not null then
    perform private.raise_error(
      400, split_part(v_fault, ' ', 1), concat('The usage event would be rejected: ', v_fault)
    );
  end if;
end
$$;
revoke all on function private.check_event(jsonb, timestamptz) from public, anon, authenticated, service_role;

-- Records events that belong to something else, such as a settled reservation; PT400 where a batch would reject one.
create function private.record_all_events(p_tenant_id uuid, p_subject text, p_events jsonb, p_at timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_answer public.record_usage_answer := private.record_events(p_tenant_id, p_subject, p_events, p_at);
  v_fault jsonb := v_answer.rejected -> 0;
begin
  if v_fault is not null then
    perform private.raise_error(
      400, v_fault ->> 'reason', concat('The usage event was rejected: ', v_fault ->> 'reason', ' ', v_fault ->> 'field')
    );
  end if;
end
$$;
revoke all on function private.record_all_events(uuid, text, jsonb, timestamptz)
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


-- Roll-ups -----------------------------------------------------------------------------------------------------------

-- Latencies in milliseconds, ascending, and how often each occurred: as they are up to 200 of them, beyond that each as the
-- middle of its logarithmic bucket.
create type private.latency_sketch as (latencies float8[], counts bigint[]);

-- What adds up. Absent (null) is nothing. quantities: how much of each metric, as a JSON object.
create type private.usage_counts as (
  events bigint,
  api_calls_successful bigint,
  api_calls_failed bigint,
  api_calls_rate_limited bigint,
  latency_count bigint,
  latency_total_ms numeric,
  latency private.latency_sketch,
  chat_messages_sent bigint,
  chat_messages_received bigint,
  chat_sessions_created bigint,
  chat_response_count bigint,
  chat_response_total_ms numeric,
  embeddings_generated numeric,
  embeddings_tokens_used numeric,
  semantic_searches_performed bigint,
  total_tokens_used numeric,
  estimated_cost_usd numeric,
  quota_exceeded_count bigint,
  peak_qps bigint,
  quantities jsonb
);

create type private.hourly_usage as (tenant_id uuid, hour timestamptz, counts private.usage_counts);

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
  'Usage of one period: hourly, daily or monthly, in UTC. Latencies are milliseconds, error_rate is failed calls per call (0 to 1), quota_* are those of tokens.';

create table private.usage_rollups (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  period_type text not null,
  period_start timestamptz not null,
  counts private.usage_counts not null,
  primary key (tenant_id, period_type, period_start)
) with (fillfactor = 70);
comment on table private.usage_rollups is 'What the roll-ups add to; tenant_usage_metrics and tenant_metric_usage are made from it.';

create table public.tenant_usage_metrics (
  metric_id uuid not null default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  period_type text not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  api_calls_total bigint not null,
  api_calls_successful bigint not null,
  api_calls_failed bigint not null,
  api_calls_rate_limited bigint not null,
  api_latency_avg_ms numeric,
  api_latency_p50_ms numeric,
  api_latency_p95_ms numeric,
  api_latency_p99_ms numeric,
  chat_messages_sent bigint not null,
  chat_messages_received bigint not null,
  chat_sessions_created bigint not null,
  chat_avg_response_time_ms numeric,
  embeddings_generated bigint not null,
  embeddings_tokens_used bigint not null,
  semantic_searches_performed bigint not null,
  total_tokens_used bigint not null,
  estimated_cost_usd numeric not null,
  quota_limit bigint,
  quota_remaining bigint,
  quota_exceeded_count bigint not null,
  error_count bigint not null,
  error_rate numeric not null,
  peak_qps bigint not null,
  primary key (tenant_id, period_type, period_start),
  constraint tenant_usage_metrics_period_type_known check (period_type in ('hourly', 'daily', 'monthly'))
) with (fillfactor = 70);
comment on table public.tenant_usage_metrics is
  'Usage of each tenant by hour, day and month, as of the last roll-up; get_tenant_usage adds what came since. See usage_summary for the columns.';
alter table public.tenant_usage_metrics enable row level security;
revoke all on public.tenant_usage_metrics from anon, authenticated, service_role;
grant select on public.tenant_usage_metrics to authenticated, service_role;
create policy members_read_usage_metrics on public.tenant_usage_metrics for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index tenant_usage_metrics_by_period on public.tenant_usage_metrics (period_type, period_start);

create table public.tenant_metric_usage (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null references public.metrics (id) on delete cascade,
  period_type text not null,
  period_start timestamptz not null,
  quantity numeric not null,
  primary key (tenant_id, metric, period_type, period_start),
  constraint tenant_metric_usage_period_type_known check (period_type in ('hourly', 'daily', 'monthly'))
) with (fillfactor = 70);
comment on table public.tenant_metric_usage is
  'How much of each metric a tenant used by hour, day and month, as of the last roll-up. Of a gauge: its last value in the day or month.';
alter table public.tenant_metric_usage enable row level security;
revoke all on public.tenant_metric_usage from anon, authenticated, service_role;
grant select on public.tenant_metric_usage to authenticated, service_role;
create policy members_read_metric_usage on public.tenant_metric_usage for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index tenant_metric_usage_by_metric on public.tenant_metric_usage (metric, period_type, period_start);

create table private.chat_sessions (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  session uuid not null,
  first_ts timestamptz not null,
  last_ts timestamptz not null,
  primary key (tenant_id, session)
);
comment on table private.chat_sessions is 'The chat sessions that roll-ups have counted, each in the hour of first_ts. Forgotten after 32 days without a message.';
comment on column private.chat_sessions.first_ts is 'infinity while it is being recomputed.';
comment on column private.chat_sessions.session is 'A hash of the session_id, which has no limit of length.';
create index chat_sessions_by_age on private.chat_sessions (last_ts);

create table private.usage_retention (
  is_only_row boolean primary key default true,
  events_since timestamptz not null default '-infinity',
  constraint usage_retention_is_only_row check (is_only_row)
);
comment on table private.usage_retention is 'Since when all recorded events are still there: what is older cannot be recomputed.';
insert into private.usage_retention default values;


-- The window of a period type; null for an unknown one.
create function private.usage_window(p_period_type text) returns public.quota_period
language plpgsql immutable set search_path = '' as $$
begin
  return case p_period_type when 'hourly' then 'hour' when 'daily' then 'day' when 'monthly' then 'month' end::public.quota_period;
end
$$;
revoke all on function private.usage_window(text) from public, anon, authenticated, service_role;

-- The middle of the bucket (1.04^(i-1), 1.04^i] of a latency: at most 2 % away from it, and its own middle.
create function private.latency_bucket(p_latency float8) returns float8
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_latency > 0 then 2 / 2.04 * power(1.04, ceil(ln(p_latency) / ln(1.04::float8))) else 0 end;
end
$$;
revoke all on function private.latency_bucket(float8) from public, anon, authenticated, service_role;

create function private.merge_latencies(p_sketches private.latency_sketch[]) returns private.latency_sketch
language plpgsql immutable set search_path = '' as $$
declare
  v_total bigint := (select sum(c.n) from unnest(p_sketches) s cross join unnest(s.counts) c (n));
  v_merged private.latency_sketch;
begin
  if v_total is null then
    return null;
  end if;
  select array_agg(m.latency order by m.latency), array_agg(m.n order by m.latency)
  into v_merged.latencies, v_merged.counts
  from (
    select case when v_total > 200 then private.latency_bucket(u.latency) else u.latency end, sum(u.n)::bigint
    from unnest(p_sketches) s cross join unnest(s.latencies, s.counts) u (latency, n)
    group by 1
  ) as m (latency, n);
  return v_merged;
end
$$;
revoke all on function private.merge_latencies(private.latency_sketch[]) from public, anon, authenticated, service_role;

-- The percentiles 50, 95 and 99, interpolated between neighbours as percentile_cont does; nulls for an empty sketch.
create function private.latency_percentiles(p_sketch private.latency_sketch) returns numeric[]
language plpgsql immutable set search_path = '' as $$
declare
  v_total bigint := (select sum(c.n) from unnest(p_sketch.counts) c (n));
begin
  return array(
    with cumulative as materialized (
      select u.latency, sum(u.n) over (order by u.latency) as upto
      from unnest(p_sketch.latencies, p_sketch.counts) u (latency, n)
    )
    select round((low.latency + (p.position - floor(p.position))::float8 * (high.latency - low.latency))::numeric, 3)
    from unnest(array[0.5, 0.95, 0.99]) with ordinality f (fraction, ordinal)
    cross join lateral (select f.fraction * (v_total - 1)) as p (position)
    cross join lateral (select min(c.latency) from cumulative c where c.upto > floor(p.position)) as low (latency)
    cross join lateral (select min(c.latency) from cumulative c where c.upto > ceil(p.position)) as high (latency)
    order by f.ordinal
  );
end
$$;
revoke all on function private.latency_percentiles(private.latency_sketch)
  from public, anon, authenticated, service_role;

-- Adds counts up.
create function private.merge_usage(p_counts private.usage_counts[]) returns private.usage_counts
language plpgsql immutable set search_path = '' as $$
declare
  v_merged private.usage_counts;
begin
  if cardinality(p_counts) = 1 then
    return p_counts[1];
  end if;
  select sum(c.events), sum(c.api_calls_successful), sum(c.api_calls_failed), sum(c.api_calls_rate_limited),
    sum(c.latency_count), sum(c.latency_total_ms), null::private.latency_sketch,
    sum(c.chat_messages_sent), sum(c.chat_messages_received), sum(c.chat_sessions_created),
    sum(c.chat_response_count), sum(c.chat_response_total_ms),
    sum(c.embeddings_generated), sum(c.embeddings_tokens_used), sum(c.semantic_searches_performed),
    sum(c.total_tokens_used), sum(c.estimated_cost_usd), sum(c.quota_exceeded_count), max(c.peak_qps), null::jsonb
  into v_merged
  from unnest(p_counts) c;
  v_merged.latency := private.merge_latencies(array(select c.latency from unnest(p_counts) c));
  select jsonb_object_agg(q.metric, q.quantity) into v_merged.quantities
  from (
    select j.key, sum(j.value::numeric) from unnest(p_counts) c cross join jsonb_each_text(c.quantities) j group by j.key
  ) as q (metric, quantity);
  return v_merged;
end
$$;
revoke all on function private.merge_usage(private.usage_counts[]) from public, anon, authenticated, service_role;

-- A count as people read it: capped at the largest integer that JavaScript holds exactly, so that no event, however absurd
-- its numbers, can make the roll-up of all tenants fail.
create function private.readable_count(p_value numeric) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
  return least(coalesce(p_value, 0), 9007199254740991);
end
$$;
revoke all on function private.readable_count(numeric) from public, anon, authenticated, service_role;

create function private.summarize_usage(
  p_tenant_id uuid, p_period_type text, p_period_start timestamptz, p_counts private.usage_counts, p_quota_limit bigint
) returns public.usage_summary
language plpgsql immutable set search_path = '' as $$
declare
  v_percentiles numeric[] := private.latency_percentiles(p_counts.latency);
  v_usage public.usage_summary;
begin
  v_usage.tenant_id := p_tenant_id;
  v_usage.period_type := p_period_type;
  v_usage.period_start := p_period_start;
  v_usage.period_end := private.window_end(private.usage_window(p_period_type), p_period_start);
  v_usage.api_calls_successful := coalesce(p_counts.api_calls_successful, 0);
  v_usage.api_calls_failed := coalesce(p_counts.api_calls_failed, 0);
  v_usage.api_calls_rate_limited := coalesce(p_counts.api_calls_rate_limited, 0);
  v_usage.api_calls_total :=
    v_usage.api_calls_successful + v_usage.api_calls_failed + v_usage.api_calls_rate_limited;
  v_usage.api_latency_avg_ms := round(p_counts.latency_total_ms / nullif(p_counts.latency_count, 0), 3);
  v_usage.api_latency_p50_ms := v_percentiles[1];
  v_usage.api_latency_p95_ms := v_percentiles[2];
  v_usage.api_latency_p99_ms := v_percentiles[3];
  v_usage.chat_messages_sent := coalesce(p_counts.chat_messages_sent, 0);
  v_usage.chat_messages_received := coalesce(p_counts.chat_messages_received, 0);
  v_usage.chat_sessions_created := coalesce(p_counts.chat_sessions_created, 0);
  v_usage.chat_avg_response_time_ms := round(p_counts.chat_response_total_ms / nullif(p_counts.chat_response_count, 0), 3);
  v_usage.embeddings_generated := private.readable_count(p_counts.embeddings_generated);
  v_usage.embeddings_tokens_used := private.readable_count(p_counts.embeddings_tokens_used);
  v_usage.semantic_searches_performed := coalesce(p_counts.semantic_searches_performed, 0);
  v_usage.total_tokens_used := private.readable_count(p_counts.total_tokens_used);
  v_usage.estimated_cost_usd := coalesce(p_counts.estimated_cost_usd, 0);
  v_usage.quota_limit := p_quota_limit;
  v_usage.quota_remaining := private.quota_remaining(p_quota_limit, v_usage.total_tokens_used);
  v_usage.quota_exceeded_count := coalesce(p_counts.quota_exceeded_count, 0);
  v_usage.error_count := v_usage.api_calls_failed;
  v_usage.error_rate := coalesce(round(v_usage.api_calls_failed::numeric / nullif(v_usage.api_calls_total, 0), 6), 0);
  v_usage.peak_qps := coalesce(p_counts.peak_qps, 0);
  return v_usage;
end
$$;
revoke all on function private.summarize_usage(uuid, text, timestamptz, private.usage_counts, bigint)
  from public, anon, authenticated, service_role;

-- The limit of tokens that is in force for periods of a type.
create function private.token_limit(p_tenant_id uuid, p_period_type text) returns bigint
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select e.limit_value
    from public.entitlements e
    where e.tenant_id = p_tenant_id and e.metric = 'tokens' and e.per = 'tenant'
      and e.period = private.usage_window(p_period_type)
  );
end
$$;
revoke all on function private.token_limit(uuid, text) from public, anon, authenticated, service_role;

-- The limit of tokens of one period: p_in_force, unless the period is over and was rolled up with another. By index: a plan
-- made while the table was empty would read ever more of it.
create function private.period_limit(
  p_tenant_id uuid, p_period_type text, p_period_start timestamptz, p_in_force bigint, p_at timestamptz
) returns bigint
language plpgsql stable security definer set search_path = '' set enable_seqscan = off as $$
declare
  v_limit bigint;
begin
  select m.quota_limit into v_limit
  from public.tenant_usage_metrics m
  where m.tenant_id = p_tenant_id and m.period_type = p_period_type and m.period_start = p_period_start
    and m.period_end <= p_at;
  return case when found then v_limit else p_in_force end;
end
$$;
revoke all on function private.period_limit(uuid, text, timestamptz, bigint, timestamptz)
  from public, anon, authenticated, service_role;

-- The session of a chat message, or null. A hash, since a session_id has no limit of length.
create function private.chat_session(p_event_type text, p_metadata jsonb) returns uuid
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_event_type = 'chat_message' then md5(nullif(p_metadata ->> 'session_id', ''))::uuid end;
end
$$;
revoke all on function private.chat_session(text, jsonb) from public, anon, authenticated, service_role;

-- The events of [p_from, p_to) that are counted already.
create function private.counted_events(p_from timestamptz, p_to timestamptz) returns setof public.tenant_usage_realtime
language plpgsql stable security definer set search_path = '' set enable_seqscan = on as $$
begin
  return query
    select e.*
    from public.tenant_usage_realtime e
    join public.tenants t on t.id = e.tenant_id
    where e.event_timestamp >= p_from and e.event_timestamp < p_to
      and not exists (select from private.usage_batches b where b.batch_id = e.batch_id);
end
$$;
revoke all on function private.counted_events(timestamptz, timestamptz) from public, anon, authenticated, service_role;

-- The events of batches that are not counted yet; or, without batches, the counted ones of [p_from, p_to). Batch by batch
-- and by index, whatever the planner thinks: statistics of the day under way are always behind.
create function private.usage_events(p_batch_ids bigint[], p_from timestamptz, p_to timestamptz)
returns setof public.tenant_usage_realtime
language plpgsql stable security definer set search_path = '' set enable_seqscan = off as $$
begin
  if p_batch_ids is null then
    return query select * from private.counted_events(p_from, p_to);
  else
    return query
      select e.*
      from private.usage_batches b
      cross join lateral (
        select * from public.tenant_usage_realtime r
        where r.batch_id = b.batch_id and r.event_timestamp between b.first_ts and b.last_ts
        offset 0
      ) as e
      where b.batch_id = any (p_batch_ids);
  end if;
end
$$;
revoke all on function private.usage_events(bigint[], timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- The same for the receipts of denials.
create function private.usage_denials(p_batch_ids bigint[], p_from timestamptz, p_to timestamptz)
returns setof public.quota_decisions
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_batch_ids is not null then
    return query select d.* from public.quota_decisions d where d.batch_id = any (p_batch_ids);
  else
    return query
      select d.*
      from public.quota_decisions d
      where d.batch_id is not null and d.created_at >= p_from and d.created_at < p_to
        and not exists (select from private.usage_batches b where b.batch_id = d.batch_id);
  end if;
end
$$;
revoke all on function private.usage_denials(bigint[], timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- Counts those events and denials by tenant and hour. An hour may come in several rows: what adds up may come in parts.
-- How many events there are is unknown to the planner, which would compare each with each, or read whole days for a second:
-- hence no nested loops and no sequential scans, and no compilation of plans that only look expensive.
create function private.count_usage(p_batch_ids bigint[], p_from timestamptz, p_to timestamptz)
returns setof private.hourly_usage
language plpgsql stable security definer set search_path = ''
  set enable_nestloop = off set enable_seqscan = off set jit = off as $$
begin
  return query
    with events as materialized (
      select e.*, date_trunc('hour', e.event_timestamp, 'UTC') as hour,
        e.event_type = 'chat_message' as is_chat,
        e.api_status_code >= 400 and e.api_status_code <> 429 as is_failure,
        private.chat_session(e.event_type, e.metadata) as session
      from private.usage_events(p_batch_ids, p_from, p_to) e
    ),
    sums as (
      select e.tenant_id, e.hour,
        count(*) as events,
        count(*) filter (where e.api_status_code < 400) as api_calls_successful,
        count(*) filter (where e.is_failure) as api_calls_failed,
        count(*) filter (where e.api_status_code = 429) as api_calls_rate_limited,
        count(e.api_response_time_ms) as latency_count,
        sum(e.api_response_time_ms) as latency_total_ms,
        private.merge_latencies(array[row(
          array_agg(e.api_response_time_ms::float8) filter (where e.api_response_time_ms is not null),
          array_agg(1::bigint) filter (where e.api_response_time_ms is not null)
        )::private.latency_sketch]) as latency,
        count(*) filter (where e.is_chat and e.metadata ->> 'direction' is distinct from 'received') as chat_messages_sent,
        count(*) filter (where e.is_chat and e.metadata ->> 'direction' = 'received') as chat_messages_received,
        count(e.api_response_time_ms) filter (where e.is_chat) as chat_response_count,
        sum(e.api_response_time_ms) filter (where e.is_chat) as chat_response_total_ms,
        sum(e.quantity) filter (where e.event_type = 'embedding') as embeddings_generated,
        sum(e.tokens_consumed) filter (where e.event_type = 'embedding') as embeddings_tokens_used,
        count(*) filter (where e.event_type = 'search') as semantic_searches_performed,
        sum(e.tokens_consumed) as total_tokens_used,
        sum(e.cost_usd) as estimated_cost_usd
      from events e
      group by e.tenant_id, e.hour
    ),
    peaks as (
      -- Batches may share a second with what was counted before them.
      select p.tenant_id, p.hour, max(p.n) as peak_qps
      from (
        select s.tenant_id, s.hour,
          case
            when p_batch_ids is null then s.n
            else (
              select count(*) from public.tenant_usage_realtime r
              where r.tenant_id = s.tenant_id
                and r.event_timestamp >= s.second and r.event_timestamp < s.second + interval '1 second'
            )
          end
        from (
          select e.tenant_id, e.hour, date_trunc('second', e.event_timestamp), count(*) from events e group by 1, 2, 3
        ) as s (tenant_id, hour, second, n)
      ) as p (tenant_id, hour, n)
      group by p.tenant_id, p.hour
    ),
    quantities as (
      select m.tenant_id, m.hour, jsonb_object_agg(m.metric, m.quantity) as quantities
      from (
        select q.tenant_id, q.hour, q.metric, sum(q.quantity)
        from (
          select e.tenant_id, e.hour, t.metric, e.quantity
          from events e join public.usage_event_types t on t.id = e.event_type
          union all
          select s.tenant_id, s.hour, 'tokens', s.total_tokens_used from sums s
          union all
          select s.tenant_id, s.hour, 'api_calls',
            s.api_calls_successful + s.api_calls_failed + s.api_calls_rate_limited
          from sums s
        ) as q (tenant_id, hour, metric, quantity)
        where q.metric is not null
        group by 1, 2, 3
      ) as m (tenant_id, hour, metric, quantity)
      where m.quantity > 0
      group by m.tenant_id, m.hour
    ),
    sessions as (
      -- Those that are new, or turn out to have begun earlier than they were counted.
      select c.*
      from (
        select f.*, (
            select nullif(c.first_ts, 'infinity')
            from private.chat_sessions c where c.tenant_id = f.tenant_id and c.session = f.session
          ) as counted_ts
        from (
          select e.tenant_id, e.session, min(e.event_timestamp) as first_ts
          from events e where e.session is not null group by 1, 2
        ) as f
      ) as c
      where c.counted_ts is null or c.first_ts < c.counted_ts
    ),
    partial_counts as (
      select s.tenant_id, date_trunc('hour', s.first_ts, 'UTC') as hour, 'chat_sessions_created' as field, count(*) as n
      from sessions s group by 1, 2
      union all
      select s.tenant_id, date_trunc('hour', s.counted_ts, 'UTC'), 'chat_sessions_created', -count(*)
      from sessions s where s.counted_ts is not null group by 1, 2
      union all
      select d.tenant_id, date_trunc('hour', d.created_at, 'UTC'), 'quota_exceeded_count', count(*)
      from private.usage_denials(p_batch_ids, p_from, p_to) d group by 1, 2
    )
    select s.tenant_id, s.hour, row(
      s.events, s.api_calls_successful, s.api_calls_failed, s.api_calls_rate_limited, s.latency_count,
      s.latency_total_ms, s.latency, s.chat_messages_sent, s.chat_messages_received, null, s.chat_response_count,
      s.chat_response_total_ms, s.embeddings_generated, s.embeddings_tokens_used, s.semantic_searches_performed,
      s.total_tokens_used, s.estimated_cost_usd, null, p.peak_qps, q.quantities
    )::private.usage_counts
    from sums s
    join peaks p on p.tenant_id = s.tenant_id and p.hour = s.hour
    left join quantities q on q.tenant_id = s.tenant_id and q.hour = s.hour
    union all
    select c.tenant_id, c.hour, jsonb_populate_record(null::private.usage_counts, jsonb_build_object(c.field, c.n))
    from partial_counts c;
end
$$;
revoke all on function private.count_usage(bigint[], timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- Remembers when the sessions of those events began.
create function private.note_chat_sessions(p_batch_ids bigint[], p_from timestamptz, p_to timestamptz) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into private.chat_sessions as c (tenant_id, session, first_ts, last_ts)
  select e.tenant_id, private.chat_session(e.event_type, e.metadata), min(e.event_timestamp), max(e.event_timestamp)
  from private.usage_events(p_batch_ids, p_from, p_to) e
  where private.chat_session(e.event_type, e.metadata) is not null
  group by 1, 2
  on conflict (tenant_id, session) do update
  set first_ts = least(c.first_ts, excluded.first_ts), last_ts = greatest(c.last_ts, excluded.last_ts)
  where excluded.first_ts < c.first_ts or excluded.last_ts > c.last_ts;
end
$$;
revoke all on function private.note_chat_sessions(bigint[], timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- Adds to the periods of p_types what count_usage counts, or (p_finer) the roll-ups of a finer period type in [p_from, p_to);
-- returns how many periods that touched.
create function private.add_usage(
  p_types text[], p_finer text, p_batch_ids bigint[], p_from timestamptz, p_to timestamptz
) returns bigint
language plpgsql volatile security definer set search_path = ''
  set enable_nestloop = off set jit = off as $$
declare
  v_touched bigint;
begin
  with source as (
    select c.tenant_id, c.hour as at, c.counts from private.count_usage(p_batch_ids, p_from, p_to) c where p_finer is null
    union all
    select r.tenant_id, r.period_start, r.counts from private.usage_rollups r
    where r.period_type = p_finer and r.period_start >= p_from and r.period_start < p_to
  ),
  merged as (
    insert into private.usage_rollups as r (tenant_id, period_type, period_start, counts)
    select s.tenant_id, t.period_type, private.window_start(private.usage_window(t.period_type), s.at),
      private.merge_usage(array_agg(s.counts))
    from source s cross join unnest(p_types) as t (period_type)
    group by 1, 2, 3
    on conflict (tenant_id, period_type, period_start) do update
    set counts = private.merge_usage(array[r.counts, excluded.counts])
    returning r.*
  ),
  quantities as (
    insert into public.tenant_metric_usage as u (tenant_id, metric, period_type, period_start, quantity)
    select g.tenant_id, m.id, g.period_type, g.period_start, q.value::numeric
    from merged g
    cross join jsonb_each_text((g.counts).quantities) q
    join public.metrics m on m.id = q.key and m.kind = 'counter'
    on conflict (tenant_id, metric, period_type, period_start) do update set quantity = excluded.quantity
    where u.quantity <> excluded.quantity
  ),
  limits as materialized (
    select d.*, private.token_limit(d.tenant_id, d.period_type) as in_force, private.tenant_now(d.tenant_id) as at
    from (select distinct g.tenant_id, g.period_type from merged g) as d
  ),
  summaries as (
    insert into public.tenant_usage_metrics (
      tenant_id, period_type, period_start, period_end, api_calls_total, api_calls_successful, api_calls_failed,
      api_calls_rate_limited, api_latency_avg_ms, api_latency_p50_ms, api_latency_p95_ms, api_latency_p99_ms,
      chat_messages_sent, chat_messages_received, chat_sessions_created, chat_avg_response_time_ms,
      embeddings_generated, embeddings_tokens_used, semantic_searches_performed, total_tokens_used,
      estimated_cost_usd, quota_limit, quota_remaining, quota_exceeded_count, error_count, error_rate, peak_qps
    )
    select s.*
    from merged g
    join limits l on l.tenant_id = g.tenant_id and l.period_type = g.period_type
    cross join lateral private.summarize_usage(
      g.tenant_id, g.period_type, g.period_start, g.counts,
      private.period_limit(g.tenant_id, g.period_type, g.period_start, l.in_force, l.at)
    ) s
    on conflict (tenant_id, period_type, period_start) do update
    set (
      api_calls_total, api_calls_successful, api_calls_failed,
      api_calls_rate_limited, api_latency_avg_ms, api_latency_p50_ms, api_latency_p95_ms, api_latency_p99_ms,
      chat_messages_sent, chat_messages_received, chat_sessions_created, chat_avg_response_time_ms,
      embeddings_generated, embeddings_tokens_used, semantic_searches_performed, total_tokens_used,
      estimated_cost_usd, quota_limit, quota_remaining, quota_exceeded_count, error_count, error_rate, peak_qps
    ) = (
      excluded.api_calls_total, excluded.api_calls_successful, excluded.api_calls_failed,
      excluded.api_calls_rate_limited, excluded.api_latency_avg_ms, excluded.api_latency_p50_ms,
      excluded.api_latency_p95_ms, excluded.api_latency_p99_ms, excluded.chat_messages_sent,
      excluded.chat_messages_received, excluded.chat_sessions_created, excluded.chat_avg_response_time_ms,
      excluded.embeddings_generated, excluded.embeddings_tokens_used, excluded.semantic_searches_performed,
      excluded.total_tokens_used, excluded.estimated_cost_usd, excluded.quota_limit, excluded.quota_remaining,
      excluded.quota_exceeded_count, excluded.error_count, excluded.error_rate, excluded.peak_qps
    )
  )
  select count(*) into v_touched from merged;
  return v_touched;
end
$$;
revoke all on function private.add_usage(text[], text, bigint[], timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- The value of every gauge of the given tenants (null: all) now, in the day and the month that it is for them:
-- what its counter has as used.
create function private.snapshot_gauges(p_tenant_ids uuid[] default null) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtext('meterbase.usage_rollups')); -- passes write them, too
  insert into public.tenant_metric_usage as u (tenant_id, metric, period_type, period_start, quantity)
  select g.tenant_id, g.metric, p.period_type,
    private.window_start(private.usage_window(p.period_type), now() + t.clock_offset), g.quantity
  from (
    select c.tenant_id, c.metric, c.used
    from private.quota_counters c
    join public.metrics m on m.id = c.metric and m.kind = 'gauge'
    where c.period = 'none' and c.subject = ''
  ) as g (tenant_id, metric, quantity)
  join public.tenants t on t.id = g.tenant_id
  cross join (values ('daily'), ('monthly')) as p (period_type)
  where p_tenant_ids is null or g.tenant_id = any (p_tenant_ids)
  for key share of t skip locked -- not of a tenant that is being deleted
  on conflict (tenant_id, metric, period_type, period_start) do update set quantity = excluded.quantity
  where u.quantity <> excluded.quantity;
end
$$;
revoke all on function private.snapshot_gauges(uuid[]) from public, anon, authenticated, service_role;

create type public.rollup_answer as (events_processed bigint, buckets_touched bigint);

-- One pass: counts the batches that are there when it begins, up to a hundred thousand events at a time. After half a minute
-- it leaves the rest to the next pass: a statement that ran into a timeout would have counted nothing, time after time.
create function private.aggregate_usage_metrics() returns public.rollup_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_types constant text[] := array['hourly', 'daily', 'monthly'];
  v_last bigint;
  v_batch_ids bigint[];
  v_tenant_ids uuid[];
  v_events bigint;
  v_answer public.rollup_answer := row(0, 0);
begin
  perform pg_advisory_xact_lock(hashtext('meterbase.usage_rollups'));
  select max(b.batch_id) into v_last from private.usage_batches b;
  loop
    select array_agg(c.batch_id), array_agg(distinct c.tenant_id), sum(c.events)
    into v_batch_ids, v_tenant_ids, v_events
    from (
      select n.*, sum(n.events) over (order by n.batch_id) - n.events as before
      from (
        -- A tenant that is being deleted is left to whoever deletes it.
        select b.batch_id, b.tenant_id, b.events
        from private.usage_batches b
        join public.tenants t on t.id = b.tenant_id
        where b.batch_id <= v_last
        order by b.batch_id
        limit 5000
        for update of b skip locked
        for key share of t skip locked
      ) as n
    ) as c
    where c.before < 100000;
    exit when v_batch_ids is null;

    -- Locks every partition: one made since the first lock of this transaction, or made and not told to other sessions yet,
    -- would otherwise not be read, and its events be taken for counted.
    lock table public.tenant_usage_realtime in access share mode;
    v_answer.buckets_touched :=
      v_answer.buckets_touched + private.add_usage(v_types, null, v_batch_ids, null, null);
    v_answer.events_processed := v_answer.events_processed + v_events;
    perform private.note_chat_sessions(v_batch_ids, null, null);
    perform private.snapshot_gauges(v_tenant_ids);
    delete from private.usage_batches where batch_id = any (v_batch_ids);
    exit when clock_timestamp() > statement_timestamp() + interval '30 seconds';
  end loop;
  return v_answer;
end
$$;
revoke all on function private.aggregate_usage_metrics() from public, anon, authenticated, service_role;
grant execute on function private.aggregate_usage_metrics() to service_role;

create function public.aggregate_usage_metrics() returns setof public.rollup_answer
language sql volatile security invoker set search_path = ''
  set statement_timeout = '10min' as $$ select * from private.aggregate_usage_metrics() $$;
comment on function public.aggregate_usage_metrics() is
  'Adds the events recorded since the last pass to the hours, days and months in which they happened. Running it again changes nothing. Service role.';
revoke all on function public.aggregate_usage_metrics() from public, anon, authenticated, service_role;
grant execute on function public.aggregate_usage_metrics() to service_role;

create type private.usage_partition as (name name, starts_at timestamptz, ends_at timestamptz);

create function private.usage_partitions() returns setof private.usage_partition
language plpgsql stable set search_path = '' as $$
begin
  return query
    select p.name, p.starts_at, p.starts_at + interval '24 hours'
    from (
      select c.relname, to_date(right(c.relname, 10), 'YYYY"m"MM"d"DD')::timestamp at time zone 'UTC'
      from pg_catalog.pg_inherits i
      join pg_catalog.pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'public.tenant_usage_realtime'::regclass
    ) as p (name, starts_at)
    order by p.starts_at;
end
$$;
revoke all on function private.usage_partitions() from public, anon, authenticated, service_role;

-- Counts the hours of [p_from, p_to) anew from their events, then days and months from their hours. What is older than the
-- stored events stays as it is, and so does what passes have yet to count.
create function private.recompute_usage_metrics(p_from timestamptz, p_to timestamptz) returns public.rollup_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_from timestamptz;
  v_to timestamptz;
  v_day private.usage_partition;
  v_days private.usage_partition[];
  v_coarse text;
  v_fine text;
  v_answer public.rollup_answer := row(0, 0);
begin
  perform private.require_platform_admin();
  perform private.check_range(p_from, p_to);
  perform pg_advisory_xact_lock(hashtext('meterbase.usage_rollups'));
  perform from public.tenants for key share; -- before their roll-ups, as whoever deletes a tenant does
  -- Whole hours, and only those that have all of their events, and of their receipts (see prune_quota).
  select greatest(
    date_trunc('hour', p_from, 'UTC'), r.events_since, date_trunc('day', now() - interval '30 days', 'UTC')
  ) into v_from
  from private.usage_retention r;
  v_to := date_trunc('hour', p_to + interval '1 hour' - interval '1 microsecond', 'UTC');
  v_days := array(
    select row(p.name, greatest(p.starts_at, v_from), least(p.ends_at, v_to))::private.usage_partition
    from private.usage_partitions() p
    where p.ends_at > v_from and p.starts_at < v_to
  );
  if cardinality(v_days) = 0 then
    return v_answer;
  end if;
  v_from := v_days[1].starts_at;
  v_to := v_days[cardinality(v_days)].ends_at;

  foreach v_day in array v_days loop
    update private.chat_sessions set first_ts = 'infinity'
    where first_ts >= v_day.starts_at and first_ts < v_day.ends_at;
    delete from private.usage_rollups
    where period_type = 'hourly' and period_start >= v_day.starts_at and period_start < v_day.ends_at;
    v_answer.buckets_touched := v_answer.buckets_touched
      + private.add_usage(array['hourly'], null, null, v_day.starts_at, v_day.ends_at);
    perform private.note_chat_sessions(null, v_day.starts_at, v_day.ends_at);
  end loop;
  delete from private.chat_sessions where first_ts = 'infinity';
  select coalesce(sum((r.counts).events), 0) into v_answer.events_processed
  from private.usage_rollups r
  where r.period_type = 'hourly' and r.period_start >= v_from and r.period_start < v_to;

  foreach v_coarse in array array['daily', 'monthly'] loop
    v_fine := case v_coarse when 'daily' then 'hourly' else 'daily' end;
    v_from := private.window_start(private.usage_window(v_coarse), v_from);
    v_to := private.window_end(
      private.usage_window(v_coarse),
      private.window_start(private.usage_window(v_coarse), v_to - interval '1 microsecond')
    );
    delete from private.usage_rollups where period_type = v_coarse and period_start >= v_from and period_start < v_to;
    v_answer.buckets_touched :=
      v_answer.buckets_touched + private.add_usage(array[v_coarse], v_fine, null, v_from, v_to);
  end loop;

  delete from public.tenant_usage_metrics m
  where m.period_start >= v_from and m.period_start < v_to
    and not exists (
      select from private.usage_rollups r
      where r.tenant_id = m.tenant_id and r.period_type = m.period_type and r.period_start = m.period_start
    );
  delete from public.tenant_metric_usage u
  using public.metrics m
  where m.id = u.metric and m.kind = 'counter' and u.period_start >= v_from and u.period_start < v_to
    and not exists (
      select from private.usage_rollups r
      where r.tenant_id = u.tenant_id and r.period_type = u.period_type and r.period_start = u.period_start
        and (r.counts).quantities ? u.metric
    );
  return v_answer;
end
$$;
revoke all on function private.recompute_usage_metrics(timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.recompute_usage_metrics(timestamptz, timestamptz) to authenticated, service_role;

create function public.recompute_usage_metrics(from_ts timestamptz, to_ts timestamptz) returns setof public.rollup_answer
language sql volatile security invoker set search_path = ''
  set statement_timeout = '10min' as $$ select * from private.recompute_usage_metrics($1, $2) $$;
comment on function public.recompute_usage_metrics(timestamptz, timestamptz) is
  'Counts the hours of a range anew from the stored events, then their days and months; changes nothing where the roll-ups are right. Platform admins.';
revoke all on function public.recompute_usage_metrics(timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.recompute_usage_metrics(timestamptz, timestamptz) to authenticated, service_role;


-- Reading ------------------------------------------------------------------------------------------------------------

create function private.check_range(p_from timestamptz, p_to timestamptz) returns void
language plpgsql stable set search_path = '' as $$
begin
  if p_from is null or p_to is null or p_from > p_to then
    perform private.raise_error(400, 'invalid_range', 'A range needs a beginning and an end that is not before it.');
  end if;
end
$$;
revoke all on function private.check_range(timestamptz, timestamptz) from public, anon, authenticated, service_role;

-- The window of a period type that a caller named; PT400 for an unknown one.
create function private.check_period_type(p_period_type text) returns public.quota_period
language plpgsql stable set search_path = '' as $$
declare
  v_window public.quota_period := private.usage_window(p_period_type);
begin
  if v_window is null then
    perform private.raise_error(400, 'invalid_period_type', 'A period type is hourly, daily or monthly.');
  end if;
  return v_window;
end
$$;
revoke all on function private.check_period_type(text) from public, anon, authenticated, service_role;

create function private.check_max_rows(p_max_rows int) returns void
language plpgsql stable set search_path = '' as $$
begin
  if p_max_rows is null or p_max_rows not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_max_rows', 'At most 1 to 1000 rows can be asked for.');
  end if;
end
$$;
revoke all on function private.check_max_rows(int) from public, anon, authenticated, service_role;

-- The periods of some tenants that start in [p_from, p_to): the roll-ups, plus what passes have yet to count.
create function private.read_usage(p_tenant_ids uuid[], p_period_type text, p_from timestamptz, p_to timestamptz)
returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_window public.quota_period := private.usage_window(p_period_type);
  v_batch_ids bigint[] := array(select b.batch_id from private.usage_batches b where b.tenant_id = any (p_tenant_ids));
  v_tail private.hourly_usage[] := array[]::private.hourly_usage[];
begin
  if cardinality(v_batch_ids) > 0 then
    v_tail := array(
      select u from private.count_usage(v_batch_ids, null, null) u
      where private.window_start(v_window, u.hour) >= p_from and private.window_start(v_window, u.hour) < p_to
    );
  end if;
  return query
    with tail as materialized (
      select u.tenant_id, private.window_start(v_window, u.hour) as period_start, array_agg(u.counts) as counts
      from unnest(v_tail) u
      group by 1, 2
    )
    select m.tenant_id, m.period_type, m.period_start, m.period_end, m.api_calls_total, m.api_calls_successful,
      m.api_calls_failed, m.api_calls_rate_limited, m.api_latency_avg_ms, m.api_latency_p50_ms, m.api_latency_p95_ms,
      m.api_latency_p99_ms, m.chat_messages_sent, m.chat_messages_received, m.chat_sessions_created,
      m.chat_avg_response_time_ms, m.embeddings_generated, m.embeddings_tokens_used, m.semantic_searches_performed,
      m.total_tokens_used, m.estimated_cost_usd, m.quota_limit, m.quota_remaining, m.quota_exceeded_count,
      m.error_count, m.error_rate, m.peak_qps
    from public.tenant_usage_metrics m
    where m.tenant_id = any (p_tenant_ids) and m.period_type = p_period_type
      and m.period_start >= p_from and m.period_start < p_to
      and not exists (select from tail t where t.tenant_id = m.tenant_id and t.period_start = m.period_start)
    union all
    select s.*
    from tail t
    left join private.usage_rollups r
      on r.tenant_id = t.tenant_id and r.period_type = p_period_type and r.period_start = t.period_start
    cross join lateral private.summarize_usage(
      t.tenant_id, p_period_type, t.period_start,
      private.merge_usage(case when r.tenant_id is null then t.counts else r.counts || t.counts end),
      private.period_limit(
        t.tenant_id, p_period_type, t.period_start, private.token_limit(t.tenant_id, p_period_type),
        private.tenant_now(t.tenant_id)
      )
    ) s;
end
$$;
revoke all on function private.read_usage(uuid[], text, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

-- The same, in order; the quota of the period under way is what enforcement has left.
create function private.live_usage(p_tenant_ids uuid[], p_period_type text, p_from timestamptz, p_to timestamptz)
returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_window public.quota_period := private.usage_window(p_period_type);
  v_row record;
  v_usage public.usage_summary;
begin
  for v_row in
    select u as usage, t.clock_offset, e.limit_value, c.used, c.window_start
    from private.read_usage(p_tenant_ids, p_period_type, p_from, p_to) u
    join public.tenants t on t.id = u.tenant_id
    left join public.entitlements e
      on e.tenant_id = u.tenant_id and e.tenant_id = any (p_tenant_ids)
      and e.metric = 'tokens' and e.period = v_window and e.per = 'tenant'
    left join private.quota_counters c
      on c.tenant_id = u.tenant_id and c.metric = 'tokens' and c.period = v_window and c.subject = ''
    order by u.period_start
  loop
    v_usage := v_row.usage;
    if v_usage.period_start = private.window_start(v_window, now() + v_row.clock_offset) then
      v_usage.quota_limit := v_row.limit_value;
      v_usage.quota_remaining := private.quota_remaining(
        v_row.limit_value, case when v_row.window_start >= v_usage.period_start then v_row.used else 0 end
      );
    end if;
    return next v_usage;
  end loop;
end
$$;
revoke all on function private.live_usage(uuid[], text, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;

create function private.get_tenant_usage(
  p_tenant_id uuid, p_from timestamptz, p_to timestamptz, p_period_type text
) returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_window public.quota_period;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  perform private.tenant_now(p_tenant_id); -- PT404 unless the tenant exists
  v_window := private.check_period_type(p_period_type);
  perform private.check_range(p_from, p_to);
  return query
    select *
    from private.live_usage(array[p_tenant_id], p_period_type, private.window_start(v_window, p_from), p_to)
    where p_from < p_to;
end
$$;
revoke all on function private.get_tenant_usage(uuid, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function private.get_tenant_usage(uuid, timestamptz, timestamptz, text) to authenticated, service_role;

create function public.get_tenant_usage(
  tenant_id uuid, from_ts timestamptz, to_ts timestamptz, period_type text default 'daily'
) returns setof public.usage_summary
language sql stable security invoker set search_path = '' as $$ select * from private.get_tenant_usage($1, $2, $3, $4) $$;
comment on function public.get_tenant_usage(uuid, timestamptz, timestamptz, text) is
  'A tenant''s usage in the hours, days or months (hourly, daily, monthly) that overlap [from_ts, to_ts), a row each where there was any. Needs usage:read.';
revoke all on function public.get_tenant_usage(uuid, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.get_tenant_usage(uuid, timestamptz, timestamptz, text) to authenticated, service_role;

create function private.get_today_usage(p_tenant_id uuid) returns public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_day timestamptz;
  v_usage public.usage_summary;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  v_day := private.window_start('day', private.tenant_now(p_tenant_id));
  select * into v_usage from private.live_usage(array[p_tenant_id], 'daily', v_day, v_day + interval '24 hours');
  if not found then
    v_usage := private.summarize_usage(
      p_tenant_id, 'daily', v_day, null, private.token_limit(p_tenant_id, 'daily')
    );
    v_usage.quota_remaining := private.quota_remaining(v_usage.quota_limit, coalesce((
      select c.used from private.quota_counters c
      where c.tenant_id = p_tenant_id and c.metric = 'tokens' and c.period = 'day' and c.subject = ''
        and c.window_start >= v_day
    ), 0));
  end if;
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

-- Newest first. A page goes on after the last event of the one before: its event_timestamp and event_id.
create function private.get_tenant_events(
  p_tenant_id uuid, p_from timestamptz, p_to timestamptz, p_event_type text, p_max_rows int,
  p_before_ts timestamptz, p_before_id text
) returns setof public.tenant_usage_realtime
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  perform private.check_max_rows(p_max_rows);
  return query
    select e.*
    from public.tenant_usage_realtime e
    where e.tenant_id = p_tenant_id
      and e.event_timestamp >= coalesce(p_from, '-infinity') and e.event_timestamp < coalesce(p_to, 'infinity')
      and (p_event_type is null or e.event_type = p_event_type)
      and (
        p_before_ts is null
        or e.event_timestamp <= p_before_ts and (e.event_timestamp, e.event_id) < (p_before_ts, coalesce(p_before_id, ''))
      )
    order by e.event_timestamp desc, e.event_id desc
    limit p_max_rows;
end
$$;
revoke all on function private.get_tenant_events(uuid, timestamptz, timestamptz, text, int, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function private.get_tenant_events(uuid, timestamptz, timestamptz, text, int, timestamptz, text)
  to authenticated, service_role;

create function public.get_tenant_events(
  tenant_id uuid, from_ts timestamptz default null, to_ts timestamptz default null, event_type text default null,
  max_rows int default 100, before_ts timestamptz default null, before_id text default null
) returns setof public.tenant_usage_realtime
language sql stable security invoker set search_path = '' as $$ select * from private.get_tenant_events($1, $2, $3, $4, $5, $6, $7) $$;
comment on function public.get_tenant_events(uuid, timestamptz, timestamptz, text, int, timestamptz, text) is
  'A tenant''s events in [from_ts, to_ts), newest first; the next page is before the last one''s event_timestamp and event_id. Needs usage:read.';
revoke all on function public.get_tenant_events(uuid, timestamptz, timestamptz, text, int, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.get_tenant_events(uuid, timestamptz, timestamptz, text, int, timestamptz, text)
  to authenticated, service_role;

create type public.top_consumer as (tenant_id uuid, name text, metric text, period_start timestamptz, quantity numeric);

-- Who used most of a metric, or of the money (`cost`), in the period under way.
create function private.get_top_consumers(p_metric text, p_period_type text, p_max_rows int)
returns setof public.top_consumer
language plpgsql stable security definer set search_path = '' as $$
declare
  v_window public.quota_period;
  v_start timestamptz;
  v_batch_ids bigint[];
begin
  perform private.require_platform_admin();
  v_window := private.check_period_type(p_period_type);
  perform private.check_max_rows(p_max_rows);
  if p_metric is distinct from 'cost' and not exists (select from public.metrics where id = p_metric) then
    perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
  end if;
  v_start := private.window_start(v_window, now());
  -- Events do not move a gauge.
  v_batch_ids := array(
    select b.batch_id from private.usage_batches b
    where b.last_ts >= v_start and not exists (select from public.metrics where id = p_metric and kind = 'gauge')
  );
  return query
    select t.id, t.name, p_metric, v_start, sum(u.quantity)
    from (
      select m.tenant_id, m.quantity from public.tenant_metric_usage m
      where m.metric = p_metric and m.period_type = p_period_type and m.period_start = v_start
      union all
      select m.tenant_id, m.estimated_cost_usd from public.tenant_usage_metrics m
      where p_metric = 'cost' and m.period_type = p_period_type and m.period_start = v_start
      union all
      select c.tenant_id,
        case p_metric
          when 'cost' then (c.counts).estimated_cost_usd
          else ((c.counts).quantities ->> p_metric)::numeric
        end
      from private.count_usage(v_batch_ids, null, null) c
      where private.window_start(v_window, c.hour) = v_start
    ) as u (tenant_id, quantity)
    join public.tenants t on t.id = u.tenant_id
    group by t.id
    having sum(u.quantity) > 0
    order by sum(u.quantity) desc, t.id
    limit p_max_rows;
end
$$;
revoke all on function private.get_top_consumers(text, text, int) from public, anon, authenticated, service_role;
grant execute on function private.get_top_consumers(text, text, int) to authenticated, service_role;

create function public.get_top_consumers(metric text, period_type text default 'daily', max_rows int default 10)
returns setof public.top_consumer
language sql stable security invoker set search_path = '' as $$ select * from private.get_top_consumers($1, $2, $3) $$;
comment on function public.get_top_consumers(text, text, int) is
  'The tenants that used most of a metric (tokens, api_calls, …) or cost most (cost) in the hour, day or month under way. Platform admins.';
revoke all on function public.get_top_consumers(text, text, int) from public, anon, authenticated, service_role;
grant execute on function public.get_top_consumers(text, text, int) to authenticated, service_role;

-- The period under way of every tenant that used anything in it. Of a tenant with a test clock, its usage in the real one.
create function private.current_usage(p_period_type text) returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
declare
  v_window public.quota_period;
  v_start timestamptz;
begin
  perform private.require_platform_admin();
  v_window := private.check_period_type(p_period_type);
  v_start := private.window_start(v_window, now());
  return query
    select *
    from private.live_usage(
      array(select id from public.tenants), p_period_type, v_start, private.window_end(v_window, v_start)
    );
end
$$;
revoke all on function private.current_usage(text) from public, anon, authenticated, service_role;

create function private.get_multi_tenant_stats(p_period_type text, p_max_rows int) returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.check_max_rows(p_max_rows);
  return query
    select u.* from private.current_usage(p_period_type) u order by u.total_tokens_used desc, u.tenant_id limit p_max_rows;
end
$$;
revoke all on function private.get_multi_tenant_stats(text, int) from public, anon, authenticated, service_role;
grant execute on function private.get_multi_tenant_stats(text, int) to authenticated, service_role;

create function public.get_multi_tenant_stats(period_type text default 'daily', max_rows int default 100)
returns setof public.usage_summary
language sql stable security invoker set search_path = '' as $$ select * from private.get_multi_tenant_stats($1, $2) $$;
comment on function public.get_multi_tenant_stats(text, int) is
  'Usage of every tenant in the hour, day or month under way, most tokens first. Platform admins.';
revoke all on function public.get_multi_tenant_stats(text, int) from public, anon, authenticated, service_role;
grant execute on function public.get_multi_tenant_stats(text, int) to authenticated, service_role;

create function private.get_tenants_exceeding_quota(p_period_type text) returns setof public.usage_summary
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select u.*
    from private.current_usage(p_period_type) u
    where u.quota_exceeded_count > 0 or u.total_tokens_used > u.quota_limit
    order by u.quota_exceeded_count desc, u.total_tokens_used desc, u.tenant_id;
end
$$;
revoke all on function private.get_tenants_exceeding_quota(text) from public, anon, authenticated, service_role;
grant execute on function private.get_tenants_exceeding_quota(text) to authenticated, service_role;

create function public.get_tenants_exceeding_quota(period_type text default 'daily') returns setof public.usage_summary
language sql stable security invoker set search_path = '' as $$ select * from private.get_tenants_exceeding_quota($1) $$;
comment on function public.get_tenants_exceeding_quota(text) is
  'The tenants that were denied tokens, or recorded more than their limit, in the hour, day or month under way. Platform admins.';
revoke all on function public.get_tenants_exceeding_quota(text) from public, anon, authenticated, service_role;
grant execute on function public.get_tenants_exceeding_quota(text) to authenticated, service_role;


-- Retention ----------------------------------------------------------------------------------------------------------

-- Forgets the ids of events that could no longer be accepted, and the sessions that have ended. Not those of tenants with a
-- test clock, whose events may be of next year.
create function private.prune_usage_event_keys() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from private.usage_event_keys k
  where k.recorded_at < now() - interval '32 days'
    and not exists (select from public.tenants t where t.id = k.tenant_id and t.clock_offset > interval '0');
  delete from private.chat_sessions where last_ts < now() - interval '32 days';
end
$$;
revoke all on function private.prune_usage_event_keys() from public, anon, authenticated, service_role;

-- Drops the partitions of the days that ended longer than p_keep ago, and says how many. A day with events that are not
-- rolled up yet waits for the next time.
create function private.cleanup_old_realtime_events(p_keep interval default '30 days') returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_partition private.usage_partition;
  v_dropped int := 0;
begin
  if p_keep is null or p_keep < interval '0' then
    perform private.raise_error(400, 'invalid_keep', 'Events are kept for an interval of 0 or more.');
  end if;
  perform private.aggregate_usage_metrics();
  perform private.lock_partitioned('public.tenant_usage_realtime');
  for v_partition in
    select * from private.usage_partitions() p
    where p.ends_at <= now() - p_keep
      and not exists (
        select from private.usage_batches b where b.events > 0 and b.first_ts < p.ends_at and b.last_ts >= p.starts_at
      )
  loop
    execute format('drop table private.%I', v_partition.name);
    update private.usage_retention set events_since = greatest(events_since, v_partition.ends_at);
    v_dropped := v_dropped + 1;
  end loop;
  return v_dropped;
end
$$;
revoke all on function private.cleanup_old_realtime_events(interval) from public, anon, authenticated, service_role;
grant execute on function private.cleanup_old_realtime_events(interval) to service_role;

create function public.cleanup_old_realtime_events(keep interval default '30 days') returns int
language sql volatile security invoker set search_path = ''
  set statement_timeout = '10min' as $$ select * from private.cleanup_old_realtime_events($1) $$;
comment on function public.cleanup_old_realtime_events(interval) is
  'Drops the days of usage events that ended longer ago, after rolling them up, and returns how many. Service role.';
revoke all on function public.cleanup_old_realtime_events(interval) from public, anon, authenticated, service_role;
grant execute on function public.cleanup_old_realtime_events(interval) to service_role;
