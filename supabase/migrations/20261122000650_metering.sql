-- Metering: a metric attached to a table of the application. The row, its usage event and the quota it takes commit
-- together or not at all.
--
-- `meter.attach` is for migrations; it puts statement triggers on the table, so that a bulk insert takes each tenant's
-- quota once. The metric's kind decides what they do:
--   a counter counts what is inserted, and records a usage event for each row, of a type that counts for the metric;
--   a gauge counts what is there: inserts and growth take, deletes, truncates and shrinkage give back.
-- What a table holds when it is attached is counted without asking, and a row of no tenant is not metered. Rows written
-- straight into a partition pass the triggers of its parent by. Attaching a gauge again counts it anew, as after a table of
-- it was dropped.
--
-- A statement that does not fit fails as a whole with PT429. Its receipt goes with it, so DETAIL carries it.
--
-- Order of locks: as the quota domain says; the triggers of one table fire in the order of their metrics.

set lock_timeout = '5s';
set statement_timeout = '60s';

create schema meter;
comment on schema meter is 'What an application''s migrations and policies call; the API does not expose it.';
grant usage on schema meter to anon, authenticated, service_role;

create table private.metered_tables (
  table_id regclass not null,
  metric text not null references public.metrics (id),
  amount text not null,
  tenant text not null,
  subject text not null,
  row_key text not null,
  event_type text references public.usage_event_types (id),
  primary key (table_id, metric)
);
comment on table private.metered_tables is 'Which metric counts which table, by SQL expressions over a row of it.';
comment on column private.metered_tables.row_key is 'Names the row in its usage event: its primary key.';
create index metered_tables_by_metric on private.metered_tables (metric);
create index metered_tables_by_event_type on private.metered_tables (event_type);

-- Ends the call unless nothing but takes counts the metric: a gauge that tables count is what they hold.
create function private.refuse_counted(p_metric text, p_status int) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (
    select from private.metered_tables t join public.metrics m on m.id = t.metric
    where t.metric = p_metric and m.kind = 'gauge'
  ) then
    perform private.raise_error(
      p_status, 'counted_by_table', format('What there is of %s is counted by the tables that it is attached to.', p_metric)
    );
  end if;
end
$$;
revoke all on function private.refuse_counted(text, int) from public, anon, authenticated, service_role;

-- What rows come to for one subject of a tenant, and the least of them.
create type private.metered_sum as (tenant_id uuid, subject text, amount numeric, lowest bigint);

-- The rows of a relation as its meter sees them: a query for tenant_id, subject, amount and row_key.
create function private.metered_rows(p_meter private.metered_tables, p_relation text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return format(
    'select (%s)::uuid as tenant_id, coalesce((%s)::text, '''') as subject, (%s)::bigint as amount, (%s)::text as row_key from ',
    p_meter.tenant, p_meter.subject, p_meter.amount, p_meter.row_key
  ) || p_relation; -- null without a relation
end
$$;
revoke all on function private.metered_rows(private.metered_tables, text)
  from public, anon, authenticated, service_role;

-- The query for what the rows of one relation come to, less those of another: an array of private.metered_sum.
create function private.metered_sums(p_meter private.metered_tables, p_added text, p_removed text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return format(
    'select array_agg(s order by s.tenant_id, s.subject) from (
       select r.tenant_id, r.subject, sum(r.sign * r.amount::numeric), min(coalesce(r.amount, -1))
       from (%s) r
       where r.tenant_id is not null
       group by r.tenant_id, r.subject
     ) s',
    concat_ws(
      ' union all ',
      'select a.*, 1 as sign from (' || private.metered_rows(p_meter, p_added) || ') a',
      'select a.*, -1 as sign from (' || private.metered_rows(p_meter, p_removed) || ') a'
    )
  );
end
$$;
revoke all on function private.metered_sums(private.metered_tables, text, text)
  from public, anon, authenticated, service_role;

-- Ends the statement with PT429 and the denial's receipt as DETAIL: all of it for who may read the tenant's usage.
create function private.raise_denial(p_tenant_id uuid, p_metric text, p_amount bigint, p_windows private.quota_window[])
returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_window private.quota_window := private.tightest_window(p_windows, p_amount, false);
  v_answer public.quota_answer := private.quota_answer(p_metric, v_window, false);
  v_told public.quota_explanation;
  v_detail jsonb := jsonb_build_object('metric', p_metric, 'reason', v_answer.reason, 'resets_at', v_answer.resets_at);
begin
  if private.has_permission(p_tenant_id, 'usage:read') then
    v_told := private.explain_receipt(row(
      null::uuid, p_tenant_id, p_metric, v_window.period, v_window.subject, p_amount, false, v_answer.reason,
      v_window.limit_value, v_window.used, v_window.window_start, private.windows_seen(p_windows),
      (select t.plan_id from public.tenants t where t.id = p_tenant_id), false, null::bigint,
      private.tenant_now(p_tenant_id)
    )::public.quota_decisions);
    v_detail := to_jsonb(v_told) - 'decision_id';
  end if;
  raise exception using
    errcode = 'PT429',
    message = format('The quota of %s does not allow this.', p_metric),
    hint = v_answer.reason,
    detail = v_detail::text;
end
$$;
revoke all on function private.raise_denial(uuid, text, bigint, private.quota_window[])
  from public, anon, authenticated, service_role;

-- PT400 where a row comes to something that cannot be counted.
create function private.check_sums(p_sums private.metered_sum[]) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if exists (select from unnest(p_sums) s where s.lowest < 0 or abs(s.amount) > 9007199254740991) then
    perform private.raise_error(
      400, 'invalid_amount', 'What a metered row comes to is an integer of 0 or more, and a statement at most 9007199254740991.'
    );
  end if;
end
$$;
revoke all on function private.check_sums(private.metered_sum[]) from public, anon, authenticated, service_role;

-- Counts sums: takes what is positive, from each tenant all or nothing, and gives back what is negative.
create function private.take_metered(p_metric text, p_sums private.metered_sum[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_group record;
  v_sum private.metered_sum;
  v_take private.quota_take;
begin
  perform private.check_sums(p_sums);
  for v_group in
    select s.tenant_id, array_agg(s order by s.amount > 0, s.subject) as sums, array_agg(s.subject) as subjects, max(s.amount) as most
    from unnest(p_sums) s where s.amount <> 0 group by s.tenant_id order by s.tenant_id
  loop
    -- What only gives back goes in their order anyway, and its tenant may be gone.
    if cardinality(v_group.subjects) > 1 and v_group.most > 0 then
      perform private.lock_counters(v_group.tenant_id, p_metric, v_group.subjects);
    end if;
    foreach v_sum in array v_group.sums loop
      if v_sum.amount < 0 then
        perform private.give_back(
          v_sum.tenant_id, p_metric,
          array(
            select row('none', s.subject, '-infinity', -v_sum.amount)::private.quota_hold
            from (select '' union select v_sum.subject order by 1) s (subject)
          ),
          -v_sum.amount::bigint
        );
        continue;
      end if;
      v_take := private.take_quota(v_sum.tenant_id, p_metric, v_sum.subject, array[v_sum.amount::bigint]);
      if not (v_take.answers[1]).allowed then
        perform private.raise_denial(
          v_sum.tenant_id, p_metric, v_sum.amount::bigint, v_take.denied_by
        );
      end if;
    end loop;
  end loop;
end
$$;
revoke all on function private.take_metered(text, private.metered_sum[]) from public, anon, authenticated, service_role;

-- Counts what a table holds, or no longer counts it, whatever the limits.
create function private.count_contents(p_meter private.metered_tables, p_is_counted boolean) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_table text := p_meter.table_id::text;
  v_sums private.metered_sum[];
  v_sum private.metered_sum;
begin
  execute private.metered_sums(
    p_meter, case when p_is_counted then v_table end, case when not p_is_counted then v_table end
  ) into v_sums;
  if not p_is_counted then
    perform private.take_metered(p_meter.metric, v_sums);
    return;
  end if;
  perform private.check_sums(v_sums);
  foreach v_sum in array coalesce(v_sums, '{}') loop
    perform private.add_quota(
      v_sum.tenant_id, p_meter.metric,
      array(
        select w
        from unnest(private.quota_windows(v_sum.tenant_id, p_meter.metric, v_sum.subject)) w
        where w.period = 'none'
      ),
      v_sum.amount::bigint
    );
  end loop;
end
$$;
revoke all on function private.count_contents(private.metered_tables, boolean)
  from public, anon, authenticated, service_role;

-- The trigger of an attached table; its argument is the metric.
create function private.meter_rows() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_meter private.metered_tables;
  v_sums private.metered_sum[];
  v_batch record;
begin
  select * into v_meter from private.metered_tables where table_id = tg_relid and metric = tg_argv[0];
  if tg_op = 'TRUNCATE' then
    perform private.count_contents(v_meter, false);
    return null;
  end if;
  -- Here, because nobody else sees these relations.
  execute private.metered_sums(
    v_meter, case when tg_op <> 'DELETE' then 'new_rows' end, case when tg_op <> 'INSERT' then 'old_rows' end
  ) into v_sums;
  perform private.take_metered(v_meter.metric, v_sums);
  if tg_op = 'INSERT' and v_meter.event_type is not null then
    for v_batch in execute format(
      'select r.tenant_id, jsonb_agg(private.with_amount(jsonb_build_object(
           ''event_id'', gen_random_uuid(), ''event_type'', $1, ''subject'', r.subject,
           ''metadata'', jsonb_build_object(''table'', $2, ''key'', r.row_key)
         ), $3, r.amount)) as events
       from (select r.*, row_number() over () / 5000 as chunk from (%s) r where r.tenant_id is not null) r
       group by r.tenant_id, r.chunk
       order by r.tenant_id', private.metered_rows(v_meter, 'new_rows')
    ) using v_meter.event_type, v_meter.table_id::text, v_meter.metric loop
      perform private.record_all_events(
        v_batch.tenant_id, null, v_batch.events, private.tenant_now(v_batch.tenant_id)
      );
    end loop;
  end if;
  return null;
end
$$;
revoke all on function private.meter_rows() from public, anon, authenticated, service_role;


-- attach and detach --------------------------------------------------------------------------------------------------

-- Counts anew what the attached tables hold; nothing for a counter. Forgets tables that were dropped.
create function private.recount_gauge(p_metric text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_meter private.metered_tables;
begin
  if (select kind from public.metrics where id = p_metric) <> 'gauge' then
    return;
  end if;
  delete from private.metered_tables m
  where m.metric = p_metric and not exists (select from pg_catalog.pg_class c where c.oid = m.table_id);
  for v_meter in select * from private.metered_tables where metric = p_metric order by table_id loop
    execute format('lock table %s in share row exclusive mode', v_meter.table_id);
  end loop;
  update private.quota_counters set used = 0 where metric = p_metric and period = 'none';
  for v_meter in select * from private.metered_tables where metric = p_metric order by table_id loop
    perform private.count_contents(v_meter, true);
  end loop;
end
$$;
revoke all on function private.recount_gauge(text) from public, anon, authenticated, service_role;

create function private.detach(p_table regclass, p_metric text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_trigger name;
begin
  delete from private.metered_tables where table_id = p_table and metric = p_metric;
  if not found then
    return false;
  end if;
  for v_trigger in
    select t.tgname from pg_catalog.pg_trigger t
    where t.tgrelid = p_table and t.tgfoid = 'private.meter_rows'::regproc
      and t.tgargs = convert_to(p_metric, 'UTF8') || '\x00'
  loop
    execute format('drop trigger %I on %s', v_trigger, p_table);
  end loop;
  perform private.recount_gauge(p_metric);
  return true;
end
$$;
revoke all on function private.detach(regclass, text) from public, anon, authenticated, service_role;

create function private.attach(
  p_table regclass, p_metric text, p_amount text, p_tenant text, p_subject text, p_event_type text
) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_kind public.metric_kind;
  v_meter private.metered_tables;
  v_events text[];
  v_event text;
begin
  select kind into v_kind from public.metrics where id = p_metric;
  if not found then
    perform private.raise_error(404, 'metric_not_found', format('There is no metric "%s".', p_metric));
  end if;
  perform private.detach(p_table, p_metric);

  v_meter.table_id := p_table;
  v_meter.metric := p_metric;
  v_meter.amount := p_amount;
  v_meter.tenant := p_tenant;
  v_meter.subject := coalesce(p_subject, case v_kind when 'gauge' then '''''' else 'auth.uid()' end);
  v_meter.row_key := coalesce((
    select 'concat_ws('','', ' || string_agg(format('%I', a.attname), ', ' order by k.ordinal) || ')'
    from pg_catalog.pg_index i
    cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, ordinal)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = p_table and i.indisprimary and k.ordinal <= i.indnkeyatts
  ), 'null');
  if v_kind = 'counter' then
    v_meter.event_type := coalesce(
      p_event_type,
      case p_metric when 'tokens' then 'ai_request' end, -- every type counts tokens
      (select e.id from public.usage_event_types e where e.metric = p_metric order by e.id limit 1),
      p_metric
    );
    if p_event_type is null then
      insert into public.usage_event_types (id, description, metric)
      values (v_meter.event_type, format('A row that counts as %s', p_metric), p_metric)
      on conflict do nothing;
    end if;
  end if;
  -- Whether the expressions are valid, and so where the triggers will use them.
  execute private.metered_rows(v_meter, format('(select * from %s limit 0) as new_rows', p_table));
  insert into private.metered_tables select v_meter.*;

  -- A trigger that sees the rows of a statement is for one kind of statement.
  v_events := case v_kind when 'gauge' then array['insert', 'update', 'delete', 'truncate'] else array['insert'] end;
  foreach v_event in array v_events loop
    execute format(
      'create trigger %I %s %s on %s %s for each statement execute function private.meter_rows(%L)',
      format('meter_%s_%s', v_event, p_metric), case v_event when 'truncate' then 'before' else 'after' end, v_event, p_table,
      case v_event
        when 'insert' then 'referencing new table as new_rows'
        when 'update' then 'referencing old table as old_rows new table as new_rows'
        when 'delete' then 'referencing old table as old_rows'
      end,
      p_metric
    );
  end loop;
  perform private.recount_gauge(p_metric);
end
$$;
revoke all on function private.attach(regclass, text, text, text, text, text)
  from public, anon, authenticated, service_role;

create function meter.attach(
  target regclass, metric text, amount text default '1', tenant text default 'tenant_id', subject text default null,
  event_type text default null
) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.attach($1, $2, $3, $4, $5, $6) $$;
comment on function meter.attach(regclass, text, text, text, text, text) is
  'Meters a table: each row comes to `amount` of the metric for `tenant` and `subject`, SQL expressions over the row. The subject of a counter is the signed-in user unless given, of a gauge nobody. Again: replaces and counts anew. For migrations.';
revoke all on function meter.attach(regclass, text, text, text, text, text)
  from public, anon, authenticated, service_role;

create function meter.detach(target regclass, metric text) returns boolean
language sql volatile security invoker set search_path = '' as $$ select * from private.detach($1, $2) $$;
comment on function meter.detach(regclass, text) is
  'Ends the metering of a table; a gauge no longer counts what it holds. Returns whether there was any. For migrations.';
revoke all on function meter.detach(regclass, text) from public, anon, authenticated, service_role;


-- The gate for policies ----------------------------------------------------------------------------------------------

-- Whether a row that has the same key is there.
create function private.is_known_row(p_table regclass, p_row anyelement) returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  v_condition text;
  v_is_known boolean;
begin
  for v_condition in
    select string_agg(format('t.%1$I = ($1).%1$I', a.attname), ' and ')
    from pg_catalog.pg_index i
    cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, ordinal)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = p_table and i.indisunique and i.indpred is null and i.indexprs is null
      and k.ordinal <= i.indnkeyatts
    group by i.indexrelid
  loop
    execute format('select exists (select from %s t where %s)', p_table, v_condition) into v_is_known using p_row;
    if v_is_known then
      return true;
    end if;
  end loop;
  return false;
end
$$;
revoke all on function private.is_known_row(regclass, anyelement) from public, anon, authenticated, service_role;

create function private.admits(p_row anyelement) returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  v_table regclass := (select t.typrelid from pg_catalog.pg_type t where t.oid = pg_typeof(p_row))::regclass;
  v_meter private.metered_tables;
  v_tenant_id uuid;
  v_subject text;
  v_amount bigint;
  v_windows private.quota_window[];
begin
  for v_meter in select * from private.metered_tables where table_id = v_table order by metric loop
    execute private.metered_rows(v_meter, '(select ($1).*) as candidate')
      into v_tenant_id, v_subject, v_amount using p_row;
    continue when v_tenant_id is null or v_amount is null or v_amount <= 0; -- the trigger says what is wrong
    v_windows := private.quota_windows(v_tenant_id, v_meter.metric, v_subject);
    continue when not exists (select from unnest(v_windows) w where v_amount > w.cap - w.used);
    continue when private.is_known_row(v_table, p_row);
    if private.has_permission(v_tenant_id, 'usage:read') then
      perform private.raise_denial(v_tenant_id, v_meter.metric, v_amount, v_windows);
    end if;
    return false;
  end loop;
  if not found then
    perform private.raise_error(400, 'not_metered', format('The table %s is not metered.', v_table));
  end if;
  return true;
end
$$;
revoke all on function private.admits(anyelement) from public, anon, authenticated, service_role;
grant execute on function private.admits(anyelement) to anon, authenticated, service_role;

create function meter.admits(candidate anyelement) returns boolean
language sql stable security invoker set search_path = '' as $$ select * from private.admits($1) $$;
comment on function meter.admits(anyelement) is
  'For the `with check` of a metered table''s insert policy: whether the quota has room for the row, as it stands before the statement, or a row of its key is there already. Ends with PT429 and the receipt for who may read the tenant''s usage. The triggers have the last word.';
revoke all on function meter.admits(anyelement) from public, anon, authenticated, service_role;
grant execute on function meter.admits(anyelement) to anon, authenticated, service_role;


-- Meterbase's own ----------------------------------------------------------------------------------------------------

-- A member takes a seat, whoever adds them.
select meter.attach('public.memberships', 'team_members');
