-- What a Supabase project brings before the first migration, for a database that is none yet.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role', 'supabase_auth_admin'] loop
    if to_regrole(v_role) is null then
      execute format('create role %I nologin noinherit', v_role);
    end if;
  end loop;
  if to_regrole('authenticator') is null then
    create role authenticator nologin noinherit;
  end if;
end
$$;

alter role service_role bypassrls;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres;

create schema if not exists extensions;
create schema if not exists auth;
grant usage on schema public, extensions to anon, authenticated, service_role;
grant usage on schema auth to anon, authenticated, service_role, supabase_auth_admin;

-- Hosted projects created before 2026-10-30 give the API roles everything that appears in `public`;
-- Meterbase has to hold there too, so the local platform is no kinder.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;

-- The hosted definitions: identity from either form of the request's claims.
create or replace function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;
create or replace function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb
$$;

-- Where pg_cron is not to be had, its SQL surface. `scripts/stack/cron.ts` runs the jobs.
do $$
begin
  if exists (select from pg_available_extensions where name = 'pg_cron') or to_regclass('cron.job') is not null then
    return;
  end if;

  create schema cron;

  create table cron.job (
    jobid bigint generated always as identity primary key,
    schedule text not null,
    command text not null,
    nodename text not null default 'localhost',
    nodeport int not null default inet_server_port(),
    database text not null default current_database(),
    username text not null default current_user,
    active boolean not null default true,
    jobname text,
    unique (jobname, username)
  );

  create table cron.job_run_details (
    jobid bigint,
    runid bigint generated always as identity primary key,
    job_pid int,
    database text,
    username text,
    command text,
    status text,
    return_message text,
    start_time timestamptz,
    end_time timestamptz
  );

  create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $fn$
    insert into cron.job (jobname, schedule, command) values ($1, $2, $3)
    on conflict (jobname, username) do update set schedule = excluded.schedule, command = excluded.command, active = true
    returning jobid
  $fn$;

  create function cron.schedule(schedule text, command text) returns bigint language sql as $fn$
    insert into cron.job (schedule, command) values ($1, $2) returning jobid
  $fn$;

  create function cron.unschedule(job_id bigint) returns boolean language plpgsql as $fn$
  begin
    delete from cron.job where jobid = job_id;
    if not found then
      raise exception 'could not find valid entry for job ''%''', job_id;
    end if;
    return true;
  end
  $fn$;

  create function cron.unschedule(job_name text) returns boolean language plpgsql as $fn$
  begin
    delete from cron.job where jobname = job_name and username = current_user;
    if not found then
      raise exception 'could not find valid entry for job ''%''', job_name;
    end if;
    return true;
  end
  $fn$;
end
$$;

-- Where Vault is not to be had, what reads and writes its secrets; here they are as they come.
do $$
begin
  if exists (select from pg_available_extensions where name = 'supabase_vault') or to_regnamespace('vault') is not null then
    return;
  end if;

  create schema vault;

  create table vault.secrets (
    id uuid primary key default gen_random_uuid(),
    name text unique,
    description text not null default '',
    secret text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  );

  create view vault.decrypted_secrets as select s.*, s.secret as decrypted_secret from vault.secrets s;

  create function vault.create_secret(new_secret text, new_name text default null, new_description text default '')
  returns uuid language sql as $fn$
    insert into vault.secrets (secret, name, description) values ($1, $2, $3) returning id
  $fn$;

  create function vault.update_secret(
    secret_id uuid, new_secret text default null, new_name text default null, new_description text default null
  ) returns void language sql as $fn$
    update vault.secrets
    set secret = coalesce($2, secret), name = coalesce($3, name), description = coalesce($4, description), updated_at = now()
    where id = $1
  $fn$;
end
$$;

-- Where pg_net is not to be had, its SQL surface. `scripts/stack/net.ts` sends the requests.
do $$
begin
  if exists (select from pg_available_extensions where name = 'pg_net') or to_regnamespace('net') is not null then
    return;
  end if;

  create schema net;

  create table net.http_request_queue (
    id bigint generated always as identity primary key,
    method text not null,
    url text not null,
    params jsonb not null,
    headers jsonb not null,
    body text,
    timeout_milliseconds int not null
  );

  create table net._http_response (
    id bigint,
    status_code int,
    content_type text,
    headers jsonb,
    content text,
    timed_out bool,
    error_msg text,
    created timestamptz not null default now()
  );

  create function net.http_post(
    url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{"Content-Type": "application/json"}',
    timeout_milliseconds int default 5000
  ) returns bigint language sql as $fn$
    insert into net.http_request_queue (method, url, params, headers, body, timeout_milliseconds)
    values ('POST', $1, $3, $4, $2::text, $5)
    returning id
  $fn$;

  create function net.http_get(
    url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000
  ) returns bigint language sql as $fn$
    insert into net.http_request_queue (method, url, params, headers, timeout_milliseconds)
    values ('GET', $1, $2, $3, $4)
    returning id
  $fn$;
end
$$;

-- Which schemas the API exposes; the Supabase advisors read it from here.
do $$
begin
  execute format('alter database %I set pgrst.db_schemas = %L', current_database(), 'public');
end
$$;
