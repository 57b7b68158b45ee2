begin;
select plan(5);

-- The table of tests/fixtures/access_matrix.md, the first line of which names the actors.
create temp table lines (n int generated always as identity, line text);
\copy lines (line) from 'tests/fixtures/access_matrix.md'
create temp table cells as
select n, c.place, c.cell
from lines
cross join lateral regexp_split_to_table(trim(both '| ' from line), '\s*\|\s*') with ordinality c (cell, place)
where line ~ '^\|(?! *-)';
create temp table expected as
select t.cell as name, a.cell as actor, c.cell
from cells c
join cells t on t.n = c.n and t.place = 1
left join cells a on a.n = (select min(n) from cells) and a.place = c.place
where c.n > (select min(n) from cells) and c.place > 1;

-- Whoever acts, and acme with something in every table.
select tests.create_user(u) from unnest(array['viewer', 'editor', 'admin', 'owner', 'suspended', 'stranger', 'platform_admin']) u;
select tests.create_tenant(t) from unnest(array['acme', 'globex']) t;
update public.tenants set plan_id = 'unlimited' where id = tests.tenant_id('acme');
select tests.add_member('acme', r::text, r) from unnest(enum_range(null::public.member_role)) r;
select tests.add_member('acme', 'suspended', 'owner'), tests.add_member('globex', 'stranger', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('platform_admin')), (tests.user_id('suspended'));
select suspend_user(tests.user_id('suspended'), 'Fraud.');
create temp table keys as
select r || '_key' as actor, (create_api_key(tests.tenant_id('acme'), r || '_key', r)).id from unnest(enum_range(null::public.member_role)) r;
select invite_member(tests.tenant_id('acme'), 'new@example.com', 'viewer');
select record_usage(tests.tenant_id('acme'), '[{"event_id": "a", "event_type": "api_call"}]');
select aggregate_usage_metrics();
select set_custom_quota(tests.tenant_id('acme'), 'embeddings', 1);
select consume_quota(tests.tenant_id('acme'), 'embeddings', 2);
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme', 'enterprise_monthly'));
select tests.ingest('b', 'invoice.paid', tests.stripe_invoice('acme'));
select set_tenant_plan(tests.tenant_id('acme'), 'unlimited');
select grant_credits(tests.tenant_id('acme'), 1, 'Sorry.');
insert into public.checkout_sessions (tenant_id, price_id) values (tests.tenant_id('acme'), 'startup_monthly');
insert into public.alert_channels (tenant_id, type, name) values (tests.tenant_id('acme'), 'console', 'Console');
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('acme'), 'Quota', 'usage_threshold');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 10);
select consume_quota(tests.tenant_id('acme'), 'tokens', 8);
select resolve_audit_event(event_id) from public.audit_events where tenant_id = tests.tenant_id('acme') limit 1;

-- Which rows are acme's; of a catalogue, and of what is about users, all.
create temp table subjects as
select c.relname::text as name, c.oid, c.relkind,
  case
    when c.relname = 'tenants' then format('id = %L', tests.tenant_id('acme'))
    when 'tenant_id' = any (a.columns) then format('tenant_id = %L', tests.tenant_id('acme'))
    else 'true'
  end as is_acmes,
  a.columns, a.writable, null::jsonb as sample, null::bigint as total
from pg_class c
cross join lateral (
  select array_agg(attname::text order by attnum) as columns,
    array_agg(attname::text order by attnum) filter (where attidentity <> 'a') as writable -- nobody writes an identity
  from pg_attribute
  where attrelid = c.oid and attnum > 0 and not attisdropped
) a
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e');
do $$
declare
  s record;
begin
  for s in select * from subjects loop
    execute format(
      'update subjects set (sample, total) = (select (array_agg(to_jsonb(r)))[1], count(*) from public.%1$I r where %2$s) where name = %1$L',
      s.name, s.is_acmes
    );
  end loop;
end
$$;

create function pg_temp.act_as(p_actor text) returns void language plpgsql as $$
declare
  v_key uuid := (select id from keys where actor = p_actor);
begin
  if p_actor = 'anon' then
    perform tests.act_as_anon();
  elsif p_actor = 'service_role' then
    perform tests.act_as_service_role();
  elsif v_key is not null then
    perform tests.act_as_api_key(v_key);
  else
    perform tests.act_as_user(p_actor);
  end if;
end
$$;

-- How many rows a statement of an actor touches, or null where that is forbidden. Nothing of it stays. A statement that only
-- a constraint or a trigger ends was allowed to touch one; through some views nobody writes.
create function pg_temp.touched(p_actor text, p_statement text) returns int language plpgsql as $$
declare
  v_count int;
  v_code text;
  v_message text;
begin
  perform pg_temp.act_as(p_actor);
  execute p_statement;
  get diagnostics v_count = row_count;
  raise exception using errcode = 'UNDO0';
exception when others then
  get stacked diagnostics v_code = returned_sqlstate, v_message = message_text;
  if v_code = 'UNDO0' then
    return v_count;
  elsif v_code = '42501' or v_message ~ '^cannot (insert into|update|delete from) view' then
    return null;
  elsif v_code ~ '^(23|PT|P0)' then
    return 1;
  end if;
  raise;
end
$$;

-- What an actor may do, as the matrix writes it. A command that is forbidden on the whole of a table may still be granted on
-- single columns, or where nothing is read.
create function pg_temp.cell(p_subject subjects, p_actor text) returns text language plpgsql as $$
declare
  t text := format('public.%I', p_subject.name);
  v_role text := case when p_actor in ('anon', 'service_role') then p_actor else 'authenticated' end;
  v_filter text := ' where ' || p_subject.is_acmes;
  v_column text;
  v_columns text[];
  v_row jsonb;
  v_count int := pg_temp.touched(p_actor, format('select * from %s%s', t, v_filter));
  v_cell text := case when v_count = 0 then '' when v_count < p_subject.total then 'o' when v_count > 0 then 's' end;
begin
  if v_cell is null then
    v_cell := '';
    foreach v_column in array p_subject.columns loop
      if pg_temp.touched(p_actor, format('select %I from %s', v_column, t)) > 0 then
        v_cell := 'c';
      end if;
    end loop;
  end if;

  select array_agg(c) into v_columns
  from unnest(p_subject.writable) c where has_column_privilege(v_role, p_subject.oid, c, 'insert');
  for v_columns, v_row in
    select c, r
    from (values (p_subject.writable), (v_columns)) as cs (c),
      (values (p_subject.sample), (p_subject.sample || jsonb_build_object('user_id', tests.user_id(p_actor)))) as rs (r)
    where c is not null
  loop
    if v_cell !~ 'i' and pg_temp.touched(p_actor, format(
      'insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, %3$L)',
      t, (select string_agg(quote_ident(c), ', ') from unnest(v_columns) c), v_row
    )) > 0 then
      v_cell := v_cell || 'i';
    end if;
  end loop;

  foreach v_column in array p_subject.writable loop
    if v_cell !~ 'u' and coalesce(
      pg_temp.touched(p_actor, format('update %s set %I = %2$I%s', t, v_column, v_filter)),
      pg_temp.touched(p_actor, format('update %s set %I = null', t, v_column))
    ) > 0 then
      v_cell := v_cell || 'u';
    end if;
  end loop;

  if coalesce(
    pg_temp.touched(p_actor, format('delete from %s%s', t, v_filter)), pg_temp.touched(p_actor, 'delete from ' || t)
  ) > 0 then
    v_cell := v_cell || 'd';
  end if;
  return coalesce(nullif(v_cell, ''), '-');
end
$$;

select set_eq('select name from subjects', 'select distinct name from expected', 'the matrix has a line for each table and view');
select is_empty('select name from subjects where total = 0', 'each of which has a row that is about acme');
select is_empty(
  $$ select name, actor, cell from expected where actor is null or cell !~ '^(-|[soc]?i?u?d?)$' or cell = '' $$,
  'its cells are made of the letters that it explains'
);
select set_eq(
  'select distinct actor from expected',
  array[
    'anon', 'viewer', 'editor', 'admin', 'owner', 'viewer_key', 'editor_key', 'admin_key', 'owner_key', 'suspended', 'stranger',
    'platform_admin', 'service_role'
  ],
  'and its columns are all who act'
);
select set_eq(
  'select name, actor, pg_temp.cell(s, actor) from subjects s cross join (select distinct actor from expected) a',
  'select name, actor, cell from expected',
  'everybody may do what the matrix says, and nothing else'
);

select * from finish();
rollback;
