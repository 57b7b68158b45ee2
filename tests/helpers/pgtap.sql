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

-- What the data API does before a statement: the role, and the claims of the request's token.
create function tests.act_as_user(p_name text, p_claims jsonb default '{}') returns void language sql as $$
  select set_config('role', 'authenticated', true),
    set_config('request.jwt.claim.sub', '', true),
    set_config('request.jwt.claims',
      (jsonb_build_object('sub', tests.user_id(p_name), 'role', 'authenticated') || p_claims)::text, true)
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
grant execute on all functions in schema tests to anon, authenticated, service_role;
