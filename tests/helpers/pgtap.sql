-- Loaded once before the pgTAP tests: people and tenants, and being one of them.
create schema tests;
grant usage on schema tests to anon, authenticated, service_role;
grant usage on schema extensions to anon, authenticated, service_role;

-- A user in auth.users, by a short name; always the same id for the same name.
create function tests.user_id(p_name text) returns uuid language sql immutable as $$
  select md5('user ' || p_name)::uuid
$$;
create function tests.create_user(p_name text) returns uuid language sql as $$
  insert into auth.users (id, email) values (tests.user_id(p_name), p_name || '@example.com') returning id
$$;

-- A tenant by a short name, on a plan.
create function tests.tenant_id(p_name text) returns uuid language sql immutable as $$
  select md5('tenant ' || p_name)::uuid
$$;
create function tests.create_tenant(p_name text, p_plan_id text default 'trial') returns uuid language sql as $$
  insert into public.tenants (id, name, slug, plan_id)
  values (tests.tenant_id(p_name), p_name, p_name, p_plan_id)
  returning id
$$;
create function tests.add_member(p_tenant text, p_user text, p_role public.member_role) returns void language sql as $$
  insert into public.memberships (tenant_id, user_id, role)
  values (tests.tenant_id(p_tenant), tests.user_id(p_user), p_role)
$$;

-- Counters and attached tables without the seats that members take (supabase/tests/tenancy is about those).
create view tests.quota_counters as select * from private.quota_counters where metric <> 'team_members';
create view tests.metered_tables as select * from private.metered_tables where metric <> 'team_members';

-- What the data API does before a statement: the role, and the claims of the request's token.
create function tests.act_as_user(p_name text, p_claims jsonb default '{}') returns void language sql as $$
  select set_config('role', 'authenticated', true),
    set_config('request.jwt.claim.sub', '', true),
    set_config('request.jwt.claims',
      (jsonb_build_object('sub', tests.user_id(p_name), 'role', 'authenticated') || p_claims)::text, true)
$$;
-- As an edge function acts for an API key that it has checked: the token names the key and nobody else.
create function tests.act_as_api_key(p_id uuid, p_claims jsonb default '{}') returns void language sql as $$
  select set_config('role', 'authenticated', true),
    set_config('request.jwt.claim.sub', '', true),
    set_config('request.jwt.claims',
      (jsonb_build_object('role', 'authenticated', 'iss', 'meterbase', 'api_key', p_id) || p_claims)::text, true)
$$;
create function tests.act_as_anon() returns void language sql as $$
  select set_config('role', 'anon', true), set_config('request.jwt.claims', '{"role": "anon"}', true)
$$;
create function tests.act_as_service_role() returns void language sql as $$
  select set_config('role', 'service_role', true), set_config('request.jwt.claims', '{"role": "service_role"}', true)
$$;
-- Back to the database's owner, as psql and pg_cron are.
create function tests.act_as_owner() returns void language sql as $$
  select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)
$$;
-- How a statement fails for whoever is acting: its SQLSTATE and, where there is one, its reason (the hint); null when it
-- succeeds. throws_ok() does not see the hint.
create function tests.error_of(p_statement text) returns text language plpgsql as $$
declare
  v_hint text;
begin
  execute p_statement;
  return null;
exception when others then
  get stacked diagnostics v_hint = pg_exception_hint;
  return concat_ws(' ', sqlstate, nullif(v_hint, ''));
end
$$;

-- The plan of a statement for whoever is acting.
create function tests.plan_of(p_statement text) returns text language plpgsql as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain (costs off) ' || p_statement loop
    v_plan := v_plan || v_line || e'\n';
  end loop;
  return v_plan;
end
$$;

-- A time in the middle of a day and of a month, so that no window ends in a test that does not mean it.
create function tests.noon() returns timestamptz language sql stable as $$
  select date_trunc('month', now(), 'UTC') + interval '1 month 9 days 12 hours'
$$;
-- Sets a tenant's test clock so much after it.
create function tests.set_clock(p_tenant text, p_after interval default '0') returns void language sql as $$
  update public.tenants set clock_offset = tests.noon() + p_after - now() where id = tests.tenant_id(p_tenant)
$$;
-- The DETAIL with which a statement fails for whoever is acting.
create function tests.detail_of(p_statement text) returns jsonb language plpgsql as $$
declare
  v_detail text;
begin
  execute p_statement;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return nullif(v_detail, '')::jsonb;
end
$$;

-- Random events of 20 days, some of which share a second, a session or a type.
create function tests.random_events(p_count int) returns table (i int, event jsonb) language sql as $$
  select r.i, jsonb_strip_nulls(jsonb_build_object(
    'event_id', 'e' || r.i,
    'event_type', r.type,
    'event_timestamp', date_trunc('day', now(), 'UTC') - interval '24 hours'
      - case when r.r < 0.3 then floor(r.a * 15) * interval '31 hours' + r.b * interval '2 seconds'
          else r.a * interval '19 days' end,
    'tokens_consumed', floor(r.b * 500),
    'quantity', case when r.type <> 'search' then round(1 + r.c::numeric * 9, 2) end,
    'cost_usd', case when r.c < 0.5 then round(r.a::numeric, 8) end,
    'api_status_code', (array[200, 201, 399, 400, 404, 429, 500, 599, null])[1 + floor(r.d * 9)],
    'api_response_time_ms', case when r.d > 0.03 then round(exp(3 + 4 * r.e)::numeric, 3) when r.d < 0.01 then 0 end,
    'metadata', jsonb_build_object(
      'direction', (array['sent', 'received', 'other', null])[1 + floor(r.e * 4)],
      'session_id', case when r.r > 0.1 then 's' || floor(r.r * 60) end
    )
  ))
  from (
    select i, random() as a, random() as b, random() as c, random() as d, random() as e, random() as r,
      (array[
        'api_call', 'chat_message', 'chat_message', 'embedding', 'search', 'execution', 'run_time', 'analysis_run', 'kb_ingest'
      ])[1 + floor(random() * 9)] as type
    from generate_series(1, p_count) i
  ) as r
$$;
-- What Stripe tells, of the parts that are read, in the shape of 2025 (tests/helpers/stripe_events.ts has the older one too).
-- A tenant's customer is cus_<tenant>, its subscription sub_<tenant>, and so on; prices are sold as price_<id>.
create function tests.sell_prices() returns void language sql as $$
  update public.plan_prices set stripe_price_id = 'price_' || id
$$;
-- Seconds since 1970, so long after the second in which the test began.
create function tests.stripe_now(p_after interval default '0') returns bigint language sql stable as $$
  select floor(extract(epoch from now()))::bigint + extract(epoch from p_after)::bigint
$$;
-- p_more replaces parts of the object.
create function tests.stripe_subscription(
  p_tenant text, p_price_id text default 'startup_monthly', p_status text default 'active', p_more jsonb default '{}'
) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'id', 'sub_' || p_tenant, 'object', 'subscription', 'customer', 'cus_' || p_tenant, 'status', p_status,
    'created', tests.stripe_now(), 'cancel_at', null, 'cancel_at_period_end', false, 'canceled_at', null, 'ended_at', null,
    'trial_end', null, 'metadata', jsonb_build_object('tenant_id', tests.tenant_id(p_tenant)),
    'items', jsonb_build_object('data', jsonb_build_array(jsonb_build_object(
      'id', 'si_' || p_tenant, 'price', jsonb_build_object('id', 'price_' || p_price_id),
      'current_period_start', tests.stripe_now(), 'current_period_end', tests.stripe_now('30 days')
    )))
  ) || p_more
$$;
create function tests.stripe_invoice(
  p_tenant text, p_status text default 'paid', p_attempts int default 1, p_more jsonb default '{}', p_total int default 4900
) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'id', 'in_' || p_tenant, 'object', 'invoice', 'customer', 'cus_' || p_tenant, 'status', p_status, 'number', 'N-' || p_tenant,
    'billing_reason', 'subscription_cycle', 'currency', 'usd', 'total', p_total, 'amount_due', p_total,
    'amount_paid', case p_status when 'paid' then p_total else 0 end,
    'amount_remaining', case p_status when 'paid' then 0 else p_total end,
    'attempt_count', p_attempts, 'next_payment_attempt', null, 'period_start', tests.stripe_now(),
    'period_end', tests.stripe_now('30 days'), 'created', tests.stripe_now(),
    'hosted_invoice_url', 'https://invoice.example/' || p_tenant, 'invoice_pdf', null,
    'status_transitions', jsonb_build_object('paid_at', case p_status when 'paid' then tests.stripe_now('5 seconds') end),
    'lines', '{"data": []}'::jsonb,
    'parent', jsonb_build_object('subscription_details', jsonb_build_object(
      'subscription', 'sub_' || p_tenant, 'metadata', jsonb_build_object('tenant_id', tests.tenant_id(p_tenant))
    ))
  ) || p_more
$$;
create function tests.stripe_event(
  p_id text, p_type text, p_object jsonb, p_after interval default '0', p_previous jsonb default null
) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'event', 'type', p_type, 'created', tests.stripe_now(p_after), 'api_version', '2026-10-28.endive',
    'data', jsonb_build_object('object', p_object)
      || case when p_previous is null then '{}' else jsonb_build_object('previous_attributes', p_previous) end
  )
$$;
-- What becomes of it when it comes: its status and, where it fails, its reason.
create function tests.ingest(
  p_id text, p_type text, p_object jsonb, p_after interval default '0', p_previous jsonb default null
) returns text language sql volatile as $$
  select concat_ws(' ', a.status, split_part(a.error, ':', 1))
  from public.ingest_stripe_event(tests.stripe_event(p_id, p_type, p_object, p_after, p_previous)) a
$$;
grant execute on all functions in schema tests to anon, authenticated, service_role;
