-- Health: how the platform is, how a tenant is, and what is unusual.
--
-- Platform. Six components, each healthy, degraded or unhealthy: the database (degraded above 90 % of its connections,
-- unhealthy when none is left), Stripe as last seen (degraded when a call failed in the last hour, unhealthy when three did
-- and none has succeeded since five minutes before the last of them), webhooks (degraded above 5 % failed in an hour, or one unapplied for 5
-- minutes), schedules (degraded when one failed last or is late, unhealthy when the roll-ups are), outbox (degraded when a
-- message is due for 5 minutes, unhealthy for 30; what waits for a channel other than e-mail whose endpoint fails is not
-- counted), alerts (degraded with a critical one of the operator's). The whole is as
-- its worst component, but alerts alone make it no worse than degraded. Uptime is the share of the time whose samples were not
-- unhealthy; a sample vouches for the time until the next one, 90 seconds at most, so a database that was away counts.
--
-- Tenant. calculate_billing_health_score, 0 to 100, is the weighted mean of
--   payments (40 %)  100, less 40 for each open invoice with a failed payment, less 10 for each other payment that failed in
--                    the last 30 days
--   quota (25 %)     100 up to 75 % of the tightest limit of the tenant's day, month or stock, then falling to 0 at 100 %
--   errors (20 %)    100 without failed calls in the last 24 hours, falling to 0 at 10 %
--   alerts (15 %)    100, less 50 for each unresolved critical alert, 25 for a high one, 10 for another
-- none of them below 0. Grade A from 90, B from 80, C from 70, D from 60, else F.
--
-- Anomalies. An hour of a tenant's metric is unusual when it is at least `threshold` times what is usual then, further
-- from that than three scaled median deviations, and than chance explains: four times sqrt(2/n) above it, n being how many
-- events are usual (the deviation of a sum of n amounts that spread as an exponential distribution does). Usual is the median of the same hour of the last four weeks, or, while
-- fewer than three of them are known, of the last seven days; where three of those are not known either, nothing is
-- unusual. An hour without usage counts as 0 once the tenant had any. What is usual counts as at least 10, 1,000 tokens or
-- $0.10, so that small numbers are no news.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.usage_anomaly as (
  tenant_id uuid, metric text, hour timestamptz, observed numeric, expected numeric, ratio numeric
);
create type public.billing_health_score as (score int, grade text, components jsonb);

create table private.stripe_calls (
  minute timestamptz primary key,
  succeeded int not null default 0,
  failed int not null default 0,
  last_error text
);
comment on table private.stripe_calls is 'What came of the calls of Stripe''s API, by the minute.';
alter table private.stripe_calls enable row level security;

create table private.health_samples (
  sampled_at timestamptz primary key default now(),
  status text not null,
  components jsonb not null,
  quota_allowed numeric,
  quota_denied numeric,
  constraint health_samples_status_known check (status in ('healthy', 'degraded', 'unhealthy'))
);
comment on table private.health_samples is 'How the platform was; quota_*, every five minutes, are the takes of all tenants since ever, for rates between two samples.';
alter table private.health_samples enable row level security;

create function private.record_stripe_calls(p_succeeded int, p_failed int, p_last_error text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_succeeded is null or p_failed is null or p_succeeded < 0 or p_failed < 0 then
    perform private.raise_error(400, 'invalid_calls', 'Calls are counted from 0.');
  end if;
  insert into private.stripe_calls as c (minute, succeeded, failed, last_error)
  values (date_trunc('minute', now()), p_succeeded, p_failed, left(p_last_error, 500))
  on conflict (minute) do update set
    succeeded = c.succeeded + excluded.succeeded, failed = c.failed + excluded.failed,
    last_error = coalesce(excluded.last_error, c.last_error);
end
$$;
revoke all on function private.record_stripe_calls(int, int, text) from public, anon, authenticated, service_role;
grant execute on function private.record_stripe_calls(int, int, text) to service_role;

create function public.record_stripe_calls(succeeded int, failed int, last_error text default null) returns void
language sql volatile security invoker set search_path = '' as $$ select * from private.record_stripe_calls($1, $2, $3) $$;
comment on function public.record_stripe_calls(int, int, text) is 'Counts calls of Stripe''s API and what came of them. Service role.';
revoke all on function public.record_stripe_calls(int, int, text) from public, anon, authenticated, service_role;
grant execute on function public.record_stripe_calls(int, int, text) to service_role;

create function private.enter_admin_area(p_path text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  if private.is_trusted() or private.is_platform_admin() then
    return true;
  end if;
  if not exists (
    select from public.audit_events e
    where e.actor_id = coalesce(auth.uid(), private.api_key_id())::text and e.occurred_at > now() - interval '1 minute'
      and e.event_type = 'admin_access_denied'
  ) then
    perform private.audit(
      null, 'admin_access_denied', 'denied', 'admin_area', left(p_path, 200), p_severity => 'warning', p_result => 'failure'
    );
  end if;
  return false;
end
$$;
revoke all on function private.enter_admin_area(text) from public, anon, authenticated, service_role;
grant execute on function private.enter_admin_area(text) to authenticated, service_role;

create function public.enter_admin_area(path text) returns boolean
language sql volatile security invoker set search_path = '' as $$ select * from private.enter_admin_area($1) $$;
comment on function public.enter_admin_area(text) is
  'Whether the caller is a platform admin. Who is not is told false, and audited, once a minute: a refusal that raised would leave no trace.';
revoke all on function public.enter_admin_area(text) from public, anon, authenticated, service_role;
grant execute on function public.enter_admin_area(text) to authenticated, service_role;


-- The platform -------------------------------------------------------------------------------------------------------

-- How far apart the runs of a schedule are; null for one that is too irregular to tell.
create function private.schedule_interval(p_schedule text) returns interval
language sql immutable set search_path = '' as $$
  select case
    when p_schedule ~ '^\d+ seconds?$' then p_schedule::interval
    when p_schedule ~ '^\* \* \* \* \*$' then interval '1 minute'
    when p_schedule ~ '^\*/\d+ \* \* \* \*$' then substring(p_schedule from '^\*/(\d+)')::int * interval '1 minute'
    when p_schedule ~ '^\d+ \* \* \* \*$' then interval '1 hour'
    when p_schedule ~ '^\d+ \d+ \* \* \*$' then interval '1 day'
  end
$$;
revoke all on function private.schedule_interval(text) from public, anon, authenticated, service_role;

-- The jobs of Meterbase, those whose last run failed, and those that are late: the last run is two intervals and five
-- minutes ago. One that has not run yet is neither.
create function private.schedule_health() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    with last_runs as (
      select distinct on (d.jobid) d.jobid, d.status, d.start_time
      from cron.job_run_details d
      where d.runid > (select max(l.runid) from cron.job_run_details l) - 50000 and d.status in ('succeeded', 'failed')
      order by d.jobid, d.runid desc
    ),
    jobs as (
      select j.jobname, r.status = 'failed' as is_failed,
        r.start_time < now() - 2 * private.schedule_interval(j.schedule) - interval '5 minutes' as is_late
      from cron.job j left join last_runs r on r.jobid = j.jobid
      where j.active and j.jobname like 'meterbase\_%'
    )
    select jsonb_build_object(
      'status', case
        when bool_or(jobs.jobname = 'meterbase_aggregate_usage' and (jobs.is_failed or jobs.is_late)) then 'unhealthy'
        when bool_or(jobs.is_failed or jobs.is_late) then 'degraded'
        else 'healthy'
      end,
      'jobs', count(*),
      'failed', coalesce(jsonb_agg(jobs.jobname order by jobs.jobname) filter (where jobs.is_failed), '[]'),
      'late', coalesce(jsonb_agg(jobs.jobname order by jobs.jobname) filter (where jobs.is_late), '[]')
    )
    from jobs
  );
end
$$;
revoke all on function private.schedule_health() from public, anon, authenticated, service_role;

create function private.platform_components() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_connections int := (select count(*) from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend');
  v_max int := current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int;
  v_stripe record;
  v_webhooks record;
  v_outbox record;
  v_alerts record;
begin
  select sum(c.failed) filter (where c.minute > now() - interval '1 hour') as failed,
    max(c.minute) filter (where c.succeeded > 0) as last_ok_at, max(c.minute) filter (where c.failed > 0) as last_error_at,
    (array_agg(c.last_error order by c.minute desc) filter (where c.last_error is not null))[1] as last_error
  into v_stripe
  from private.stripe_calls c
  where c.minute > now() - interval '1 day';
  select count(*) + coalesce(sum(e.duplicates), 0) as received, count(*) filter (where e.status = 'failed') as failed,
    (select max(l.received_at) from public.stripe_events l) as last_received_at,
    (
      select count(*) from public.stripe_events u
      where u.status = 'failed' and u.received_at < now() - interval '5 minutes'
    ) as unapplied
  into v_webhooks
  from public.stripe_events e
  where e.received_at > now() - interval '1 hour' and e.type not like 'meterbase.%';
  select count(*) filter (where o.status <> 'dead') as pending, count(*) filter (where o.status = 'dead') as dead,
    extract(epoch from now() - min(o.due_at) filter (
      where o.status in ('pending', 'failed') and o.due_at <= now()
        and (o.lane like 'email%' or not exists (select from private.failing_lanes l where l.lane = o.lane))
    ))::int as oldest
  from private.outbox o
  into v_outbox;
  select count(*) as open, count(*) filter (where a.severity = 'critical') as critical,
    bool_or(a.severity = 'critical' and a.tenant_id is null and a.type <> 'system_error') as is_degraded
  into v_alerts
  from public.alerts a where a.status <> 'resolved';

  return jsonb_build_object(
    'database', jsonb_build_object(
      'status', case when v_connections >= v_max then 'unhealthy' when 100 * v_connections > 90 * v_max then 'degraded' else 'healthy' end,
      'connections', v_connections, 'max_connections', v_max
    ),
    'stripe', jsonb_build_object(
      'status', case
        when v_stripe.failed >= 3 and v_stripe.last_error_at - interval '5 minutes' > coalesce(v_stripe.last_ok_at, '-infinity')
          then 'unhealthy'
        when v_stripe.failed > 0 then 'degraded'
        else 'healthy'
      end,
      'last_ok_at', v_stripe.last_ok_at, 'last_error_at', v_stripe.last_error_at, 'last_error', v_stripe.last_error,
      'errors_last_hour', coalesce(v_stripe.failed, 0)
    ),
    'webhooks', jsonb_build_object(
      'status', case when v_webhooks.unapplied > 0 or 100 * v_webhooks.failed > 5 * v_webhooks.received then 'degraded' else 'healthy' end,
      'last_received_at', v_webhooks.last_received_at, 'received', v_webhooks.received, 'failed', v_webhooks.failed,
      'unapplied', v_webhooks.unapplied,
      'success_rate', round(1 - v_webhooks.failed::numeric / nullif(v_webhooks.received, 0), 4)
    ),
    'schedules', private.schedule_health(),
    'outbox', jsonb_build_object(
      'status', case when v_outbox.oldest > 1800 then 'unhealthy' when v_outbox.oldest > 300 then 'degraded' else 'healthy' end,
      'pending', v_outbox.pending, 'dead', v_outbox.dead, 'oldest_due_seconds', v_outbox.oldest
    ),
    'alerts', jsonb_build_object(
      'status', case when v_alerts.is_degraded then 'degraded' else 'healthy' end,
      'open', v_alerts.open, 'critical', v_alerts.critical
    )
  );
end
$$;
revoke all on function private.platform_components() from public, anon, authenticated, service_role;

-- As its worst component.
create function private.overall_status(p_components jsonb) returns text
language sql immutable set search_path = '' as $$
  select case
    when bool_or(c.value ->> 'status' = 'unhealthy') then 'unhealthy'
    when bool_or(c.value ->> 'status' = 'degraded') then 'degraded'
    else 'healthy'
  end
  from jsonb_each(p_components) c
$$;
revoke all on function private.overall_status(jsonb) from public, anon, authenticated, service_role;

-- Adds a sample to the health history and forgets those of 31 days ago.
create function private.sample_health() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_components jsonb := private.platform_components();
begin
  insert into private.health_samples (status, components) values (private.overall_status(v_components), v_components)
  on conflict do nothing;
  if not exists (
    select from private.health_samples s where s.sampled_at > now() - interval '5 minutes' and s.quota_allowed is not null
  ) then
    update private.health_samples s
    set quota_allowed = coalesce((select sum(c.allowed) from private.quota_counters c), 0),
        quota_denied = coalesce((select sum(d.denied) from private.quota_denials d), 0)
    where s.sampled_at = now();
  end if;
  delete from private.health_samples s where s.sampled_at < now() - interval '31 days';
  delete from private.stripe_calls c where c.minute < now() - interval '7 days';
end
$$;
revoke all on function private.sample_health() from public, anon, authenticated, service_role;

-- The share of the time since p_since, or since the first sample of all, that was up; null without a sample.
create function private.uptime(p_since timestamptz) returns numeric
language plpgsql stable security definer set search_path = '' as $$
declare
  v_from timestamptz := greatest(p_since, (select min(s.sampled_at) from private.health_samples s));
begin
  if not exists (select from private.health_samples) then
    return null;
  end if;
  return (
    select round((
      coalesce(sum(extract(epoch from
        least(s.next_at, s.sampled_at + interval '90 seconds', now()) - greatest(s.sampled_at, v_from)
      )) filter (where s.status <> 'unhealthy'), 0) / nullif(extract(epoch from now() - v_from), 0)
    )::numeric, 5)
    from (
      select h.sampled_at, h.status, lead(h.sampled_at, 1, 'infinity') over (order by h.sampled_at) as next_at
      from private.health_samples h
      where h.sampled_at > v_from - interval '90 seconds' and h.sampled_at < now()
    ) s
    where s.next_at > v_from
  );
end
$$;
revoke all on function private.uptime(timestamptz) from public, anon, authenticated, service_role;

create function private.get_billing_health() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_components jsonb;
begin
  perform private.require_platform_admin();
  v_components := private.platform_components();
  return jsonb_build_object(
    'status', private.overall_status(v_components), 'checked_at', now(),
    'uptime', jsonb_build_object(
      'last_24_hours', private.uptime(now() - interval '24 hours'), 'last_30_days', private.uptime(now() - interval '30 days')
    ),
    'components', v_components
  );
end
$$;
revoke all on function private.get_billing_health() from public, anon, authenticated, service_role;
grant execute on function private.get_billing_health() to authenticated, service_role;

create function public.get_billing_health() returns jsonb
language sql stable security invoker set search_path = '' as $$ select * from private.get_billing_health() $$;
comment on function public.get_billing_health() is
  'How the platform is: {status, checked_at, uptime: {last_24_hours, last_30_days}, components: {database, stripe, webhooks, schedules, outbox, alerts}}. Shares are of 1. Platform admins.';
revoke all on function public.get_billing_health() from public, anon, authenticated, service_role;
grant execute on function public.get_billing_health() to authenticated, service_role;


-- Anomalies ----------------------------------------------------------------------------------------------------------

create function private.median(p_values numeric[]) returns numeric
language sql immutable set search_path = '' as $$
  select percentile_cont(0.5) within group (order by v)::numeric from unnest(p_values) v
$$;
revoke all on function private.median(numeric[]) from public, anon, authenticated, service_role;

-- What a tenant used of a metric in an hour; cost_usd is one here.
create function private.used_in_hour(p_tenant_id uuid, p_metric text, p_hour timestamptz) returns numeric
language plpgsql stable security definer set search_path = '' as $$
begin
  return case p_metric
    when 'cost_usd' then (
      select u.estimated_cost_usd from public.tenant_usage_metrics u
      where u.tenant_id = p_tenant_id and u.period_type = 'hourly' and u.period_start = p_hour
    )
    else (
      select u.quantity from public.tenant_metric_usage u
      where u.tenant_id = p_tenant_id and u.metric = p_metric and u.period_type = 'hourly' and u.period_start = p_hour
    )
  end;
end
$$;
revoke all on function private.used_in_hour(uuid, text, timestamptz) from public, anon, authenticated, service_role;

-- The unusual hours among the last p_hours and the one under way, of some tenants, or of all.
create function private.find_anomalies(p_at timestamptz, p_hours int, p_threshold numeric, p_tenant_ids uuid[] default null)
returns setof public.usage_anomaly
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    with observed as (
      select u.tenant_id, u.metric, u.period_start as hour, u.quantity as observed
      from public.tenant_metric_usage u join public.metrics m on m.id = u.metric and m.kind = 'counter'
      where u.period_type = 'hourly' and u.period_start > p_at - interval '1 hour' * (p_hours + 1)
      union all
      select u.tenant_id, 'cost_usd', u.period_start, u.estimated_cost_usd
      from public.tenant_usage_metrics u
      where u.period_type = 'hourly' and u.period_start > p_at - interval '1 hour' * (p_hours + 1)
    )
    select o.tenant_id, o.metric, o.hour, o.observed, round(b.expected, 4), round(o.observed / b.floor, 2)
    from observed o
    join public.tenants t on t.id = o.tenant_id
    cross join lateral (
      select u.period_start as began_at from public.tenant_usage_metrics u
      where u.tenant_id = o.tenant_id and u.period_type = 'hourly' order by u.period_start limit 1
    ) f
    cross join lateral (
      select case o.metric when 'cost_usd' then 0.1 when 'tokens' then 1000 else 10 end::numeric as least_usual
    ) l
    cross join lateral (
      select array(
        select coalesce(private.used_in_hour(o.tenant_id, o.metric, h.hour), 0)
        from generate_series(1, 4) w cross join lateral (select o.hour - w * interval '168 hours') h (hour)
        where h.hour >= f.began_at
      ) as weeks
    ) w
    cross join lateral (
      select case when cardinality(w.weeks) >= 3 then w.weeks else array(
        select coalesce(private.used_in_hour(o.tenant_id, o.metric, h.hour), 0)
        from generate_series(1, 7) d cross join lateral (select o.hour - d * interval '24 hours') h (hour)
        where h.hour >= f.began_at
      ) end as samples
    ) s
    cross join lateral (
      select private.median(s.samples) as expected, greatest(private.median(s.samples), l.least_usual) as floor
    ) b
    cross join lateral (
      select case o.metric when 'cost_usd' then (r.counts).events else least((r.counts).events, o.observed) end * b.floor / nullif(o.observed, 0) as events
      from private.usage_rollups r
      where r.tenant_id = o.tenant_id and r.period_type = 'hourly' and r.period_start = o.hour
    ) n
    where (p_tenant_ids is null or o.tenant_id = any (p_tenant_ids))
      and o.hour > p_at + t.clock_offset - interval '1 hour' * (p_hours + 1) and o.hour <= p_at + t.clock_offset
      and o.observed >= p_threshold * l.least_usual and cardinality(s.samples) >= 3 and o.observed >= p_threshold * b.floor
      and o.observed >= b.floor * (1 + 4 * sqrt(2 / n.events))
      and o.observed > b.expected + 3 * 1.4826 * private.median(array(select abs(v - b.expected) from unnest(s.samples) v))
    order by 6 desc, 1, 2, 3;
end
$$;
revoke all on function private.find_anomalies(timestamptz, int, numeric, uuid[]) from public, anon, authenticated, service_role;

create function private.detect_usage_anomalies(p_hours int, p_threshold numeric) returns setof public.usage_anomaly
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_platform_admin();
  if p_hours is null or p_hours not between 1 and 744 then
    perform private.raise_error(400, 'invalid_hours', 'Anomalies are looked for in the last 1 to 744 hours.');
  end if;
  if p_threshold is null or p_threshold <= 1 then
    perform private.raise_error(400, 'invalid_threshold', 'What is unusual is more than once what is usual.');
  end if;
  return query select * from private.find_anomalies(now(), p_hours, p_threshold);
end
$$;
revoke all on function private.detect_usage_anomalies(int, numeric) from public, anon, authenticated, service_role;
grant execute on function private.detect_usage_anomalies(int, numeric) to authenticated, service_role;

create function public.detect_usage_anomalies(hours int default 24, threshold numeric default 2.0) returns setof public.usage_anomaly
language sql stable security invoker set search_path = '' as $$ select * from private.detect_usage_anomalies($1, $2) $$;
comment on function public.detect_usage_anomalies(int, numeric) is
  'Hours of the last `hours` in which a tenant used at least `threshold` times what is usual for it then, of any metric or cost_usd, the greatest ratio first. As of the last roll-up. Platform admins.';
revoke all on function public.detect_usage_anomalies(int, numeric) from public, anon, authenticated, service_role;
grant execute on function public.detect_usage_anomalies(int, numeric) to authenticated, service_role;


-- A tenant -----------------------------------------------------------------------------------------------------------

create function private.calculate_billing_health_score(p_tenant_id uuid) returns public.billing_health_score
language plpgsql stable security definer set search_path = '' as $$
declare
  v_at timestamptz;
  v_unpaid int;
  v_failed int;
  v_percentage numeric;
  v_error_rate numeric;
  v_critical int;
  v_high int;
  v_other int;
  v_payments numeric;
  v_quota numeric;
  v_errors numeric;
  v_alerts numeric;
  v_score int;
begin
  perform private.require_permission(p_tenant_id, 'billing:read');
  v_at := private.tenant_now(p_tenant_id);
  select count(distinct i.stripe_invoice_id) into v_unpaid
  from public.invoices i
  join public.payments p on p.tenant_id = i.tenant_id and p.stripe_invoice_id = i.stripe_invoice_id and p.status = 'failed'
  where i.tenant_id = p_tenant_id and i.status = 'open';
  select count(*) into v_failed
  from public.payments p
  left join public.invoices i on i.tenant_id = p.tenant_id and i.stripe_invoice_id = p.stripe_invoice_id
  where p.tenant_id = p_tenant_id and p.status = 'failed' and p.occurred_at > v_at - interval '30 days' and i.status is distinct from 'open';
  select max(100.0 * c.used / e.limit_value) into v_percentage
  from public.entitlements e
  join private.quota_counters c
    on c.tenant_id = e.tenant_id and c.metric = e.metric and c.period = e.period and c.subject = ''
    and c.window_start >= private.window_start(e.period, v_at)
  where e.tenant_id = p_tenant_id and e.per = 'tenant' and e.period in ('day', 'month', 'none') and e.limit_value > 0;
  select sum(u.api_calls_failed)::numeric / nullif(sum(u.api_calls_total), 0) into v_error_rate
  from public.tenant_usage_metrics u
  where u.tenant_id = p_tenant_id and u.period_type = 'hourly' and u.period_start > v_at - interval '25 hours';
  select count(*) filter (where a.severity = 'critical'), count(*) filter (where a.severity = 'high'),
    count(*) filter (where a.severity in ('low', 'medium'))
  into v_critical, v_high, v_other
  from public.alerts a where a.tenant_id = p_tenant_id and a.status <> 'resolved';

  v_payments := greatest(100 - 40 * v_unpaid - 10 * v_failed, 0);
  v_quota := least(greatest(100 - 4 * (coalesce(v_percentage, 0) - 75), 0), 100);
  v_errors := greatest(100 - 1000 * coalesce(v_error_rate, 0), 0);
  v_alerts := greatest(100 - 50 * v_critical - 25 * v_high - 10 * v_other, 0);
  v_score := round((40 * v_payments + 25 * v_quota + 20 * v_errors + 15 * v_alerts) / 100);
  return row(
    v_score,
    case when v_score >= 90 then 'A' when v_score >= 80 then 'B' when v_score >= 70 then 'C' when v_score >= 60 then 'D' else 'F' end,
    jsonb_build_object(
      'payments', jsonb_build_object('weight', 40, 'score', round(v_payments), 'unpaid_invoices', v_unpaid, 'failed_payments', v_failed),
      'quota', jsonb_build_object('weight', 25, 'score', round(v_quota), 'highest_percentage', round(v_percentage, 2)),
      'errors', jsonb_build_object('weight', 20, 'score', round(v_errors), 'error_rate', round(v_error_rate, 4)),
      'alerts', jsonb_build_object('weight', 15, 'score', round(v_alerts), 'critical', v_critical, 'high', v_high, 'other', v_other)
    )
  );
end
$$;
revoke all on function private.calculate_billing_health_score(uuid) from public, anon, authenticated, service_role;
grant execute on function private.calculate_billing_health_score(uuid) to authenticated, service_role;

create function public.calculate_billing_health_score(tenant_id uuid) returns setof public.billing_health_score
language sql stable security invoker set search_path = '' as $$ select * from private.calculate_billing_health_score($1) $$;
comment on function public.calculate_billing_health_score(uuid) is
  'How healthy a tenant''s billing is: a score from 0 to 100, its grade (A to F), and the components payments, quota, errors and alerts with their weights in percent. Needs billing:read.';
revoke all on function public.calculate_billing_health_score(uuid) from public, anon, authenticated, service_role;
grant execute on function public.calculate_billing_health_score(uuid) to authenticated, service_role;

-- Usage of a tenant from one day to another, as reports sum it up.
create function private.usage_totals(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select jsonb_build_object(
      'api_calls', coalesce(sum(u.api_calls_total), 0), 'tokens', coalesce(sum(u.total_tokens_used), 0),
      'cost_usd', coalesce(sum(u.estimated_cost_usd), 0), 'errors', coalesce(sum(u.error_count), 0),
      'error_rate', coalesce(round(sum(u.api_calls_failed)::numeric / nullif(sum(u.api_calls_total), 0), 4), 0)
    )
    from private.live_usage(array[p_tenant_id], 'daily', p_from, p_to) u
  );
end
$$;
revoke all on function private.usage_totals(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;

create function private.get_billing_dashboard_metrics(p_tenant_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_at timestamptz;
  v_month timestamptz;
  v_previous timestamptz;
  v_metrics jsonb;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  v_at := private.tenant_now(p_tenant_id);
  v_month := private.window_start('month', v_at);
  v_previous := private.window_start('month', v_month - interval '1 second');
  v_metrics := jsonb_build_object(
    'tenant_id', p_tenant_id,
    'as_of', v_at,
    'plan_id', (select t.plan_id from public.tenants t where t.id = p_tenant_id),
    'today', private.usage_totals(p_tenant_id, private.window_start('day', v_at), v_at),
    'month', private.usage_totals(p_tenant_id, v_month, v_at),
    'previous_month', private.usage_totals(p_tenant_id, v_previous, v_month),
    'quotas', coalesce((
      select jsonb_agg(to_jsonb(q)) from private.get_quota_status(p_tenant_id) q
    ), '[]'),
    'credits', private.get_credit_balance(p_tenant_id, null)
  );
  if private.has_permission(p_tenant_id, 'alerts:read') then
    v_metrics := v_metrics || jsonb_build_object('alerts', (
      select jsonb_build_object(
        'open', count(*), 'critical', count(*) filter (where a.severity = 'critical'), 'high', count(*) filter (where a.severity = 'high'),
        'medium', count(*) filter (where a.severity = 'medium'), 'low', count(*) filter (where a.severity = 'low')
      )
      from public.alerts a where a.tenant_id = p_tenant_id and a.status <> 'resolved'
    ));
  end if;
  if private.has_permission(p_tenant_id, 'billing:read') then
    v_metrics := v_metrics || jsonb_build_object(
      'subscription', (select to_jsonb(s) from private.get_subscription(p_tenant_id) s),
      'unpaid_invoices', (select count(*) from public.invoices i where i.tenant_id = p_tenant_id and i.status = 'open'),
      'health', (select to_jsonb(h) from private.calculate_billing_health_score(p_tenant_id) h)
    );
  end if;
  return v_metrics;
end
$$;
revoke all on function private.get_billing_dashboard_metrics(uuid) from public, anon, authenticated, service_role;
grant execute on function private.get_billing_dashboard_metrics(uuid) to authenticated, service_role;

create function public.get_billing_dashboard_metrics(tenant_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$ select * from private.get_billing_dashboard_metrics($1) $$;
comment on function public.get_billing_dashboard_metrics(uuid) is
  'What a dashboard shows: {tenant_id, as_of, plan_id, today, month, previous_month, quotas, credits}, with alerts:read also alerts, with billing:read also subscription, unpaid_invoices and health. Needs usage:read.';
revoke all on function public.get_billing_dashboard_metrics(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_billing_dashboard_metrics(uuid) to authenticated, service_role;

create function private.generate_usage_report(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_from timestamptz;
  v_to timestamptz;
  v_days int;
  v_totals jsonb;
  v_previous numeric;
  v_cost numeric;
  v_recommendations jsonb := '[]'::jsonb;
  v_quota record;
begin
  perform private.require_permission(p_tenant_id, 'usage:read');
  perform private.check_range(p_from, p_to);
  if not isfinite(p_from) or not isfinite(p_to) then
    perform private.raise_error(400, 'invalid_range', 'A report is about at most 400 days.');
  end if;
  v_from := private.window_start('day', p_from);
  v_to := private.window_start('day', least(p_to, private.tenant_now(p_tenant_id)) - interval '1 microsecond') + interval '24 hours';
  if v_to <= v_from then
    v_to := v_from;
  end if;
  v_days := extract(epoch from v_to - v_from) / 86400;
  if v_days > 400 then
    perform private.raise_error(400, 'invalid_range', 'A report is about at most 400 days.');
  end if;
  v_totals := private.usage_totals(p_tenant_id, v_from, v_to);
  v_cost := (v_totals ->> 'cost_usd')::numeric;
  v_previous := (private.usage_totals(p_tenant_id, v_from - (v_to - v_from), v_from) ->> 'cost_usd')::numeric;

  for v_quota in
    select q.* from private.get_quota_status(p_tenant_id) q
    where q.per = 'tenant' and q.period in ('day', 'month', 'none') and q.limit_value > 0
  loop
    if v_quota.percentage >= 80 then
      v_recommendations := v_recommendations || jsonb_build_object(
        'code', 'upgrade_plan', 'severity', case when v_quota.percentage >= 95 then 'critical' else 'medium' end,
        'message', format(
          '%s usage of this %s is at %s%% of quota. Consider upgrading your plan.', private.metric_title(v_quota.metric),
          case v_quota.period when 'none' then 'plan' else v_quota.period::text end, trim_scale(v_quota.percentage)
        )
      );
    end if;
  end loop;
  if v_previous > 0 and v_cost >= 2.5 * v_previous then
    v_recommendations := v_recommendations || jsonb_build_object(
      'code', 'review_cost_increase', 'severity', 'high',
      'message', format('The cost is %s%% above the period before. Look at what has changed.', round(100 * (v_cost / v_previous - 1)))
    );
  end if;
  if (v_totals ->> 'error_rate')::numeric > 0.05 then
    v_recommendations := v_recommendations || jsonb_build_object(
      'code', 'investigate_errors', 'severity', 'high',
      'message', format('%s%% of the calls failed.', trim_scale(round(100 * (v_totals ->> 'error_rate')::numeric, 2)))
    );
  end if;

  return jsonb_build_object(
    'tenant_id', p_tenant_id, 'from', v_from, 'to', v_to,
    'days', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', to_char(u.period_start at time zone 'UTC', 'YYYY-MM-DD'), 'api_calls', u.api_calls_total, 'tokens', u.total_tokens_used,
        'cost_usd', u.estimated_cost_usd, 'errors', u.error_count, 'error_rate', u.error_rate
      ) order by u.period_start)
      from private.live_usage(array[p_tenant_id], 'daily', v_from, v_to) u
    ), '[]'),
    'totals', v_totals,
    'metrics', coalesce((
      select jsonb_agg(jsonb_build_object('metric', q.metric, 'quantity', q.quantity) order by q.metric)
      from (
        select u.metric, sum(u.quantity) as quantity
        from public.tenant_metric_usage u join public.metrics m on m.id = u.metric and m.kind = 'counter'
        where u.tenant_id = p_tenant_id and u.period_type = 'daily' and u.period_start >= v_from and u.period_start < v_to
        group by u.metric
      ) q
    ), '[]'),
    'cost', jsonb_build_object(
      'total_usd', v_cost, 'daily_average_usd', round(v_cost / nullif(v_days, 0), 6), 'previous_usd', v_previous,
      'trend_percent', round(100 * (v_cost / nullif(v_previous, 0) - 1), 2),
      'projected_month_usd', round(30 * v_cost / nullif(v_days, 0), 6)
    ),
    'recommendations', v_recommendations,
    'compliance', jsonb_build_object(
      'quota_denials', (
        select count(*) from public.quota_decisions d
        where d.tenant_id = p_tenant_id and d.is_first and d.created_at >= v_from and d.created_at < v_to
      ),
      'overages', coalesce((
        select jsonb_agg(jsonb_build_object('metric', q.metric, 'period', q.period, 'limit_value', q.limit_value, 'used', q.used))
        from private.get_quota_status(p_tenant_id) q where q.overage > 0
      ), '[]'),
      'failed_payments', (
        select count(*) from public.payments p
        where p.tenant_id = p_tenant_id and p.status = 'failed' and p.occurred_at >= v_from and p.occurred_at < v_to
      ),
      'error_rate', v_totals -> 'error_rate',
      'data_complete_since', (
        select min(u.period_start) from public.tenant_usage_metrics u where u.tenant_id = p_tenant_id and u.period_type = 'daily'
      )
    )
  );
end
$$;
revoke all on function private.generate_usage_report(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.generate_usage_report(uuid, timestamptz, timestamptz) to authenticated, service_role;

create function public.generate_usage_report(tenant_id uuid, from_ts timestamptz, to_ts timestamptz) returns jsonb
language sql stable security invoker set search_path = '' as $$ select * from private.generate_usage_report($1, $2, $3) $$;
comment on function public.generate_usage_report(uuid, timestamptz, timestamptz) is
  'Usage of whole UTC days from from_ts to to_ts: {tenant_id, from, to, days, totals, metrics, cost, recommendations, compliance}; metrics are as of the last roll-up. Needs usage:read.';
revoke all on function public.generate_usage_report(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.generate_usage_report(uuid, timestamptz, timestamptz) to authenticated, service_role;
