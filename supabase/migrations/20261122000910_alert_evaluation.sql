-- Evaluation: what the rules see, and the alerts that follow.
--
-- Each minute a pass asks every rule at once, type by type, in statements over all tenants: what holds now is a set of
-- observations. An observation without an alert opens one; one whose facts changed is counted; an alert without an
-- observation is cleared, and resolved by itself. Passes take turns. A pass lists the alerts there are before it looks, so
-- that one that opens meanwhile is not taken for one that is over.
--
-- Thresholds of a tenant's day and month are crossed in the transaction that takes the quota (`cross_thresholds`). A pass
-- opens what that left out (a limit that was lowered, a rule that came later) only where it gets the counter's lock at
-- once: whoever holds it may be about to open the same alert, and waiting for each other's alerts would be a circle.
--
-- All of it is in the tenant's time, p_at being the real one; the operator's alerts are in real time.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.evaluation_answer as (opened int, resolved int);

-- What a rule sees now. `period` names the counter that is to be locked for it; is_once: it opens once under its key.
create type private.observation as (
  rule_id uuid,
  owner_id uuid,
  dedup_key text,
  type text,
  severity public.alert_severity,
  title text,
  message text,
  data jsonb,
  action_required boolean,
  cooldown interval,
  clock_offset interval,
  is_once boolean,
  tenant_id uuid,
  metric text,
  period public.quota_period
);

-- An index of usage events that failed, for the rules about them.
-- squawk-ignore require-concurrent-index-creation
create index tenant_usage_realtime_failed on public.tenant_usage_realtime (tenant_id, event_timestamp) where api_status_code >= 400;
-- squawk-ignore require-concurrent-index-creation
create index quota_decisions_first on public.quota_decisions (tenant_id, created_at) where is_first;
-- squawk-ignore require-concurrent-index-creation
create index audit_events_watched on public.audit_events (occurred_at) where severity = 'critical' or event_type = 'admin_access_denied';
-- squawk-ignore require-concurrent-index-creation
create index invoices_open on public.invoices (tenant_id) where status = 'open';


-- The rules, a row for each step.
create view private.rule_steps as
select r.id as rule_id, r.tenant_id as owner_id, r.name, r.type, r.metric, s.threshold,
  coalesce(r.severity, case when s.threshold >= y.critical_threshold then 'critical' else y.severity end) as severity,
  coalesce(r.window_minutes, y.window_minutes) as window_minutes,
  coalesce(r.window_minutes, y.window_minutes) * interval '1 minute' as "window",
  r.cooldown, y.action_required, y.is_of_tenants
from public.alert_rules r
join public.alert_rule_types y on y.type = r.type
cross join lateral unnest(
  case when r.threshold is null then array_remove(array[y.threshold, y.critical_threshold], null) else array[r.threshold] end
) s (threshold)
where r.enabled;

-- The same for each tenant that they watch.
create view private.watched_tenants as
select s.type, t.id as tenant_id, s as rule, t as tenant
from private.rule_steps s
join public.tenants t on t.id = s.owner_id
where t.status = 'active'
union all
select s.type, t.id, s, t
from private.rule_steps s
cross join public.tenants t
where s.owner_id is null and s.is_of_tenants and t.status = 'active';

-- How a metric is called in a sentence.
create function private.metric_label(p_metric text) returns text
language sql immutable set search_path = '' as $$
  select case p_metric when 'api_calls' then 'API calls' else replace(p_metric, '_', ' ') end
$$;
revoke all on function private.metric_label(text) from public, anon, authenticated, service_role;

-- And in a title.
create function private.metric_title(p_metric text) returns text
language sql immutable set search_path = '' as $$
  select case p_metric when 'api_calls' then 'API' else initcap(replace(p_metric, '_', ' ')) end
$$;
revoke all on function private.metric_title(text) from public, anon, authenticated, service_role;

-- The quotas of the tenants' days, months and stocks that are beyond a rule's threshold. Whether their window is still the
-- present one says window_end.
create view private.quota_observations as
select w.rule, w.tenant, w.tenant_id, c.metric, c.period, c.window_start,
  private.window_end(c.period, c.window_start) as window_end, c.used, e.limit_value, e.enforcement, m.unit
from private.watched_tenants w
join private.quota_counters c on c.tenant_id = w.tenant_id and c.subject = '' and c.period in ('day', 'month', 'none')
join public.entitlements e
  on e.tenant_id = c.tenant_id and e.metric = c.metric and e.period = c.period and e.per = 'tenant' and e.limit_value > 0
join public.metrics m on m.id = c.metric
where w.type in ('usage_threshold', 'quota_warning', 'overage_detected')
  and ((w.rule).metric is null or (w.rule).metric = c.metric)
  and case w.type
    when 'overage_detected' then 100.0 * c.used > e.limit_value * (100 + (w.rule).threshold)
    else 100.0 * c.used >= e.limit_value * (w.rule).threshold
  end;

-- What a rule sees of a tenant, or of the platform where that is null: p_about is what of it.
create function private.observe(
  p_rule private.rule_steps, p_tenant public.tenants, p_about text, p_title text, p_message text, p_data jsonb,
  p_is_once boolean default false
) returns private.observation
language plpgsql immutable set search_path = '' as $$
begin
  return row(
    p_rule.rule_id, p_rule.owner_id, concat_ws(':', p_rule.rule_id, p_tenant.id, trim_scale(p_rule.threshold), p_about),
    p_rule.type, p_rule.severity, p_title, p_message,
    jsonb_strip_nulls(jsonb_build_object('tenant_id', p_tenant.id, 'tenant_name', p_tenant.name))
      || jsonb_build_object('threshold', p_rule.threshold, 'window_minutes', p_rule.window_minutes) || p_data,
    p_rule.action_required, p_rule.cooldown,
    case when p_rule.owner_id is null then '0' else p_tenant.clock_offset end, p_is_once, p_tenant.id, null::text, null::public.quota_period
  );
end
$$;
revoke all on function private.observe(private.rule_steps, public.tenants, text, text, text, jsonb, boolean)
  from public, anon, authenticated, service_role;

create function private.observe_quota(p_quota private.quota_observations) returns private.observation
language plpgsql immutable set search_path = '' as $$
declare
  v_percentage numeric := trim_scale(trunc(100.0 * p_quota.used / p_quota.limit_value, 2));
  v_overage bigint := p_quota.used - p_quota.limit_value;
  v_title text := private.metric_title(p_quota.metric);
  v_is_overage boolean := (p_quota.rule).type = 'overage_detected';
  v_seen private.observation;
begin
  v_seen := private.observe(
    p_quota.rule, p_quota.tenant,
    concat_ws(':', p_quota.metric, p_quota.period, extract(epoch from p_quota.window_start)::text),
    v_title || case
      when v_is_overage then ' Overage Detected'
      when (p_quota.rule).severity = 'critical' then ' Usage Critical'
      else ' Usage Warning'
    end,
    case
      when v_is_overage then format(
        '%s %s over quota. %s', v_overage, private.metric_label(p_quota.metric),
        case p_quota.enforcement when 'soft' then 'Additional charges apply.' else 'What comes now is refused.' end
      )
      else format('%s usage at %s%% of quota. Consider upgrading your plan.', v_title, v_percentage)
    end,
    jsonb_build_object(
      'metric', p_quota.metric, 'unit', p_quota.unit, 'period', p_quota.period,
      'window_start', nullif(p_quota.window_start, '-infinity'), 'resets_at', p_quota.window_end,
      'usage', jsonb_build_object('current', p_quota.used, 'quota', p_quota.limit_value, 'percentage', v_percentage)
    ) || case when v_is_overage then jsonb_build_object('overage', v_overage) else '{}' end,
    p_quota.period <> 'none'
  );
  v_seen.metric := p_quota.metric;
  v_seen.period := p_quota.period;
  return v_seen;
end
$$;
revoke all on function private.observe_quota(private.quota_observations) from public, anon, authenticated, service_role;


-- What tenants' rules see --------------------------------------------------------------------------------------------

create function private.observe_usage(p_at timestamptz) returns setof private.observation
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select (private.observe(
      w.rule, w.tenant, null, 'Executions Failed',
      format('Failed in the last %s minutes: %s.', (w.rule).window_minutes, f.failures),
      jsonb_build_object('failures', f.failures, 'metric', (w.rule).metric, 'last_failed_at', f.last_failed_at)
    )).*
    from private.watched_tenants w
    cross join lateral (
      select count(*) as failures, max(l.event_timestamp) as last_failed_at
      from (
        select e.event_timestamp
        from public.tenant_usage_realtime e
        where e.tenant_id = w.tenant_id and e.event_timestamp > p_at + (w.tenant).clock_offset - (w.rule)."window"
          and e.api_status_code >= 400 and e.api_status_code <> 429
          and ((w.rule).metric is null or e.event_type in (select y.id from public.usage_event_types y where y.metric = (w.rule).metric))
        limit least(greatest((w.rule).threshold + 1, 1000), 10001)
      ) l
    ) f
    where w.type = 'execution_failure' and f.failures > (w.rule).threshold;

  return query
    select (private.observe(
      w.rule, w.tenant, null, 'Rate Limit Breached',
      format('Rate limits used up in the last %s minutes: %s (%s).', (w.rule).window_minutes, f.breaches, f.metrics),
      jsonb_build_object('breaches', f.breaches, 'metrics', f.metrics)
    )).*
    from private.watched_tenants w
    cross join lateral (
      select count(*) as breaches, string_agg(distinct private.metric_label(d.metric), ', ') as metrics
      from public.quota_decisions d
      where d.tenant_id = w.tenant_id and d.is_first and d.created_at > p_at + (w.tenant).clock_offset - (w.rule)."window"
        and (d.subject <> '' or d.period in ('minute', 'hour')) and ((w.rule).metric is null or d.metric = (w.rule).metric)
    ) f
    where w.type = 'rate_limit_breach' and f.breaches > (w.rule).threshold;

  return query
    select (private.observe(
      w.rule, w.tenant, concat(p.period_type, extract(epoch from n.period_start)::bigint), 'Cost Spike',
      format(
        'The cost of this %s is $%s, %s%% above the one before.', p.period, round(n.estimated_cost_usd, 2),
        round(100 * (n.estimated_cost_usd / o.estimated_cost_usd - 1))
      ),
      jsonb_build_object(
        'period_type', p.period_type, 'period_start', n.period_start, 'cost_usd', n.estimated_cost_usd,
        'previous_cost_usd', o.estimated_cost_usd
      ),
      true
    )).*
    from private.watched_tenants w
    cross join lateral (
      select case when (w.rule).window_minutes < 1440 then 'hourly' when (w.rule).window_minutes < 40320 then 'daily' else 'monthly' end
    ) y (period_type)
    cross join lateral (select y.period_type, private.usage_window(y.period_type) as period) p
    cross join lateral (select private.window_start(p.period, p_at + (w.tenant).clock_offset)) s (starts_at)
    -- By the key for each, whatever else is stored.
    cross join lateral (
      select u.period_start, u.estimated_cost_usd from public.tenant_usage_metrics u
      where u.tenant_id = w.tenant_id and u.period_type = p.period_type and u.period_start = s.starts_at
      limit 1
    ) n
    cross join lateral (
      select u.estimated_cost_usd from public.tenant_usage_metrics u
      where u.tenant_id = w.tenant_id and u.period_type = p.period_type
        and u.period_start = private.window_start(p.period, s.starts_at - interval '1 second')
      limit 1
    ) o
    where w.type = 'cost_spike' and o.estimated_cost_usd > 0 and n.estimated_cost_usd >= 0.01 and 100 * n.estimated_cost_usd >= o.estimated_cost_usd * (100 + (w.rule).threshold);

  return query
    select (private.observe(
      w.rule, w.tenant, w.metric, 'Unusual Usage',
      format('%s: %s in an hour, where %s is usual.', private.metric_title(w.metric), trim_scale(w.observed), trim_scale(w.expected)),
      jsonb_build_object(
        'metric', w.metric, 'hour', w.hour, 'observed', w.observed, 'expected', w.expected, 'ratio', w.ratio
      )
    )).*
    from (
      select distinct on (w.rule, a.tenant_id, a.metric) w.rule, w.tenant, a.*
      from (
        select ceil((r.rule).window_minutes / 60.0)::int as hours, min((r.rule).threshold) as threshold,
          array_agg(distinct r.tenant_id) as tenant_ids
        from private.watched_tenants r where r.type = 'usage_anomaly' group by 1
      ) k
      cross join lateral private.find_anomalies(p_at, k.hours, k.threshold, k.tenant_ids) a
      join private.watched_tenants w
        on w.type = 'usage_anomaly' and w.tenant_id = a.tenant_id
        and ceil((w.rule).window_minutes / 60.0)::int = k.hours and (w.rule).threshold <= a.ratio
        and ((w.rule).metric is null or (w.rule).metric = a.metric)
      order by w.rule, a.tenant_id, a.metric, a.ratio desc
    ) w;

  return query
    select (private.observe(
      w.rule, w.tenant, i.stripe_invoice_id, 'Payment Failed',
      'Monthly subscription payment failed. Please update payment method.',
      jsonb_build_object(
        'stripe_invoice_id', i.stripe_invoice_id, 'number', i.number, 'amount', i.amount_remaining, 'currency', i.currency,
        'attempts', f.attempts, 'failed_at', f.failed_at, 'hosted_invoice_url', i.hosted_invoice_url
      )
    )).*
    from private.watched_tenants w
    join public.invoices i on i.tenant_id = w.tenant_id and i.status = 'open'
    cross join lateral (
      select count(*) as attempts, max(p.occurred_at) as failed_at
      from public.payments p
      where p.tenant_id = i.tenant_id and p.stripe_invoice_id = i.stripe_invoice_id and p.status = 'failed'
    ) f
    where w.type = 'payment_failed' and f.attempts > (w.rule).threshold;
end
$$;
revoke all on function private.observe_usage(timestamptz) from public, anon, authenticated, service_role;


-- What the operator's rules see --------------------------------------------------------------------------------------

create function private.observe_platform(p_at timestamptz) returns setof private.observation
language plpgsql stable security definer set search_path = '' as $$
declare
  v_rule private.rule_steps;
  v_since timestamptz;
  v_count bigint;
  v_total bigint;
  v_data jsonb;
  v_components jsonb := private.platform_components();
begin
  for v_rule in select s.* from private.rule_steps s where s.owner_id is null and not s.is_of_tenants loop
    v_since := p_at - v_rule."window";
    v_data := null;
    case v_rule.type
      when 'system_error' then
        select count(*), jsonb_object_agg(c.key, c.value) into v_count, v_data
        from jsonb_each(v_components) c
        where c.value ->> 'status' = 'unhealthy' and c.key <> 'alerts';
        if v_count > v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Billing System Critical Error',
            format(
              '%s. Billing operations may be impacted.',
              case when v_data ? 'stripe' then 'Stripe connectivity lost'
                else 'Out of order: ' || (select string_agg(k, ', ' order by k) from jsonb_object_keys(v_data) k) end
            ),
            jsonb_build_object('components', v_data)
          );
        end if;

      when 'webhook_failure_rate' then
        select count(*) filter (where e.status = 'failed'), count(*) + coalesce(sum(e.duplicates), 0) into v_count, v_total
        from public.stripe_events e where e.received_at > v_since and e.type not like 'meterbase.%';
        if 100.0 * v_count > v_total * v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Webhooks Fail', format('%s of %s webhooks failed in the last %s minutes.', v_count, v_total, v_rule.window_minutes),
            jsonb_build_object('failed', v_count, 'received', v_total)
          );
        end if;

      when 'stripe_event_unapplied' then
        select count(*), jsonb_agg(e.id) filter (where e.rank <= 10) into v_count, v_data
        from (
          select f.id, row_number() over (order by f.received_at) as rank
          from public.stripe_events f
          where f.status = 'failed' and f.received_at < p_at - v_rule.threshold * interval '1 minute'
        ) e;
        if v_count > 0 then
          return next private.observe(
            v_rule, null, null, 'Stripe Events Not Applied',
            format('Not applied for more than %s minutes: %s.', v_rule.threshold, v_count),
            jsonb_build_object('events', v_count, 'event_ids', v_data)
          );
        end if;

      when 'stripe_api_errors' then
        select sum(c.failed) into v_count from private.stripe_calls c where c.minute > v_since;
        if v_count > v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Stripe API Errors', format('%s calls of Stripe''s API failed in the last %s minutes.', v_count, v_rule.window_minutes),
            jsonb_build_object('failed', v_count)
          );
        end if;

      when 'payment_failure_rate' then
        select count(*) filter (where p.status = 'failed'), count(*) into v_count, v_total
        from public.payments p where p.occurred_at > v_since and p.occurred_at <= p_at;
        if v_total >= 5 and 100.0 * v_count > v_total * v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Payments Fail', format('%s of %s payments failed in the last %s minutes.', v_count, v_total, v_rule.window_minutes),
            jsonb_build_object('failed', v_count, 'payments', v_total)
          );
        end if;

      when 'quota_denial_rate' then
        select n.quota_denied - o.quota_denied, n.quota_denied + n.quota_allowed - o.quota_denied - o.quota_allowed
        into v_count, v_total
        from (
          select * from private.health_samples s
          where s.sampled_at <= p_at and s.quota_allowed is not null order by s.sampled_at desc limit 1
        ) n
        cross join (
          select * from private.health_samples s
          where s.sampled_at >= v_since and s.quota_allowed is not null order by s.sampled_at limit 1
        ) o;
        if v_total >= 20 and v_count > 0 and 100.0 * v_count > v_total * v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'High Quota Denial Rate', format('%s of %s takes were denied in the last %s minutes.', v_count, v_total, v_rule.window_minutes),
            jsonb_build_object('denied', v_count, 'takes', v_total)
          );
        end if;

      when 'quota_denied_tenants' then
        select count(distinct d.tenant_id) into v_count from public.quota_decisions d where d.is_first and d.created_at > v_since and d.created_at <= p_at;
        if v_count > 0 then
          select count(distinct u.tenant_id) into v_total from (
            select m.tenant_id from public.tenant_usage_metrics m
            where m.period_type = 'hourly' and m.period_start > v_since - interval '1 hour' and m.period_start <= p_at
            union all
            select d.tenant_id from public.quota_decisions d where d.is_first and d.created_at > v_since and d.created_at <= p_at
          ) u;
          if v_total >= 5 and 100.0 * v_count > v_total * v_rule.threshold then
            return next private.observe(
              v_rule, null, null, 'Many Tenants Denied Quota',
              format('%s of %s active tenants were denied quota in the last %s minutes.', v_count, v_total, v_rule.window_minutes),
              jsonb_build_object('denied_tenants', v_count, 'active_tenants', v_total)
            );
          end if;
        end if;

      when 'rate_limited_tenants' then
        select count(distinct d.tenant_id) into v_count
        from public.quota_decisions d
        where d.is_first and d.created_at > v_since and d.created_at <= p_at and (d.subject <> '' or d.period in ('minute', 'hour'));
        if v_count > v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Rate Limits Exceeded', format('%s tenants used up a rate limit in the last %s minutes.', v_count, v_rule.window_minutes),
            jsonb_build_object('tenants', v_count)
          );
        end if;

      when 'checkout_burst' then
        -- In any window that began since five minutes before: a pass that is late misses none.
        return query
          select (private.observe(
            v_rule, null, host(b.ip_address), 'Suspicious Checkouts',
            format('%s checkouts from %s in %s minutes.', b.checkouts, host(b.ip_address), v_rule.window_minutes),
            jsonb_build_object('ip_address', host(b.ip_address), 'checkouts', b.checkouts)
          )).*
          from (
            select w.ip_address, max(w.checkouts) as checkouts
            from (
              select s.ip_address, count(*) over (
                partition by s.ip_address order by s.clicked_at
                range between v_rule."window" preceding and current row
              ) as checkouts
              from public.checkout_sessions s
              where s.clicked_at > v_since - interval '5 minutes' and s.ip_address is not null
            ) w
            group by w.ip_address
          ) b
          where b.checkouts > v_rule.threshold;

      when 'unauthorized_admin_access' then
        return query
          select (private.observe(
            v_rule, null, a.actor_id, 'Unauthorized Admin Access',
            format('%s tried the admin area. Attempts in the last %s minutes: %s.', a.actor_id, v_rule.window_minutes, a.attempts),
            jsonb_build_object('actor_id', a.actor_id, 'attempts', a.attempts, 'paths', a.paths)
          )).*
          from (
            select e.actor_id, count(*) as attempts, to_jsonb((array_agg(distinct e.entity_id))[1:10]) as paths
            from public.audit_events e
            where e.event_type = 'admin_access_denied' and e.occurred_at > v_since
            group by e.actor_id
          ) a
          where a.attempts > v_rule.threshold;

      when 'critical_audit_event' then
        select count(*), to_jsonb((array_agg(distinct e.event_type))[1:10]) into v_count, v_data
        from public.audit_events e
        where e.severity = 'critical' and e.occurred_at > v_since and (e.source = 'database' or e.actor_type = 'system');
        if v_count > v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Critical Event', format('Critical events in the last %s minutes: %s.', v_rule.window_minutes, v_count),
            jsonb_build_object('events', v_count, 'event_types', v_data)
          );
        end if;

      when 'database_connections' then
        v_data := v_components -> 'database';
        v_count := (v_data ->> 'connections')::bigint;
        v_total := (v_data ->> 'max_connections')::bigint;
        if 100.0 * v_count > v_total * v_rule.threshold or v_count >= v_total then
          return next private.observe(
            v_rule, null, null, 'Database Connection Pool Exhausted', format('%s of %s connections are in use.', v_count, v_total),
            jsonb_build_object('connections', v_count, 'max_connections', v_total)
          );
        end if;

      when 'schedule_failed' then
        v_data := v_components -> 'schedules';
        if jsonb_array_length(v_data -> 'failed') + jsonb_array_length(v_data -> 'late') > v_rule.threshold then
          return next private.observe(
            v_rule, null, null, 'Schedules Fail',
            format('Failed: %s. Late: %s.', coalesce(nullif(v_data ->> 'failed', '[]'), 'none'), coalesce(nullif(v_data ->> 'late', '[]'), 'none')),
            v_data
          );
        end if;
    end case;
  end loop;
end
$$;
revoke all on function private.observe_platform(timestamptz) from public, anon, authenticated, service_role;


-- From what is seen to alerts ----------------------------------------------------------------------------------------

-- Opens the alerts of what is seen for the first time, tells them, and returns their ids.
create function private.open_alerts(p_seen private.observation[], p_at timestamptz) returns uuid[]
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_new private.observation[];
  v_ids uuid[];
begin
  v_new := array(
    select s from unnest(p_seen) s
    where not exists (
      select from public.alerts a
      where a.dedup_key = s.dedup_key
        and (s.is_once or a.cleared_at is null or a.cleared_at > p_at + s.clock_offset - s.cooldown)
    )
  );
  if cardinality(v_new) = 0 then
    return array[]::uuid[];
  end if;
  perform from public.tenants t where t.id in (select s.owner_id from unnest(v_new) s) order by t.id for key share;
  with opened as (
    insert into public.alerts (
      tenant_id, rule_id, type, severity, title, message, data, action_required, dedup_key, opened_at, last_occurred_at
    )
    select s.owner_id, s.rule_id, s.type, s.severity, s.title, s.message, s.data, s.action_required, s.dedup_key,
      p_at + s.clock_offset, p_at + s.clock_offset
    from unnest(v_new) s
    order by s.dedup_key
    on conflict do nothing
    returning id
  )
  select array_agg(o.id) into v_ids from opened o;
  perform private.tell_alerts(v_ids, 'opened');
  return coalesce(v_ids, array[]::uuid[]);
end
$$;
revoke all on function private.open_alerts(private.observation[], timestamptz) from public, anon, authenticated, service_role;

-- Opens the alerts of the thresholds that a tenant's day or month has crossed, and notes where the next one is. The caller
-- holds the counters.
create function private.cross_thresholds(p_tenant_id uuid, p_metric text, p_periods public.quota_period[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_seen private.observation[];
begin
  if cardinality(p_periods) = 0 then
    return;
  end if;
  v_seen := array(
    select private.observe_quota(q)
    from private.quota_observations q
    where q.tenant_id = p_tenant_id and q.metric = p_metric and q.period = any (p_periods)
      and (q.rule).type in ('usage_threshold', 'quota_warning')
  );
  if cardinality(v_seen) > 0 then
    perform private.open_alerts(v_seen, now());
  end if;
  update private.quota_counters c
  set next_threshold = (
    select min((w.rule).threshold)
    from private.watched_tenants w
    where w.tenant_id = p_tenant_id and w.type in ('usage_threshold', 'quota_warning')
      and ((w.rule).metric is null or (w.rule).metric = p_metric)
      and (w.rule).threshold > coalesce((
        select max(100.0 * c.used / e.limit_value)
        from public.entitlements e
        where e.tenant_id = p_tenant_id and e.metric = p_metric and e.period = c.period and e.per = 'tenant' and e.limit_value > 0
      ), 0)
  )
  where c.tenant_id = p_tenant_id and c.metric = p_metric and c.period = any (p_periods) and c.subject = '';
end
$$;
revoke all on function private.cross_thresholds(uuid, text, public.quota_period[]) from public, anon, authenticated, service_role;

create function private.evaluate_alert_rules(p_at timestamptz default null) returns public.evaluation_answer
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_at timestamptz := coalesce(p_at, now());
  v_before uuid[];
  v_seen private.observation[];
  v_free text[];
  v_opened uuid[];
  v_changing uuid[];
  v_resolved uuid[];
begin
  perform pg_advisory_xact_lock(hashtext('meterbase.evaluate_alert_rules'));
  v_before := array(select a.id from public.alerts a where a.cleared_at is null);
  v_seen := array(
    select private.observe_quota(q) from private.quota_observations q
    where q.window_end is null or q.window_end > v_at + (q.tenant).clock_offset
    union all
    select o from private.observe_usage(v_at) o
    union all
    select o from private.observe_platform(v_at) o
  );

  -- The counters of crossings that are not told yet, where nobody is about to tell of them.
  v_free := array(
    select s.dedup_key
    from unnest(v_seen) s
    join private.quota_counters c
      on c.tenant_id = s.tenant_id and c.metric = s.metric and c.period = s.period and c.subject = ''
    join public.tenants t on t.id = s.tenant_id
    where s.period is not null and not exists (
      select from public.alerts a where a.dedup_key = s.dedup_key and (s.is_once or a.cleared_at is null)
    )
    order by c.metric, c.tenant_id, c.period
    for key share of t skip locked
    for update of c skip locked
  );
  v_opened := private.open_alerts(
    array(
      select s from unnest(v_seen) s
      where s.period is null or exists (select from unnest(v_free) f (dedup_key) where f.dedup_key = s.dedup_key)
    ), v_at
  );

  -- What is to change, locked before it is looked at: a member may be resolving it.
  v_changing := array(
    select a.id
    from public.alerts a
    join unnest(v_before) b (id) on b.id = a.id
    left join unnest(v_seen) s on s.dedup_key = a.dedup_key
    where a.cleared_at is null and (s.dedup_key is null or a.status <> 'resolved' and a.data <> s.data)
    order by a.id
    for no key update of a
  );
  update public.alerts a
  set data = s.data, message = s.message, severity = s.severity, occurrences = a.occurrences + 1,
      last_occurred_at = v_at + s.clock_offset
  from unnest(v_changing) c (id)
  join public.alerts b on b.id = c.id
  join unnest(v_seen) s on s.dedup_key = b.dedup_key
  where a.id = b.id and a.status <> 'resolved';

  with cleared as (
    update public.alerts a
    set cleared_at = n.at, status = 'resolved', resolved_at = coalesce(a.resolved_at, n.at),
        resolved_by = coalesce(a.resolved_by, 'system'),
        resolution_note = case when a.status = 'resolved' then a.resolution_note else 'The condition is over.' end
    from unnest(v_changing) c (id)
    join public.alerts b on b.id = c.id
    cross join lateral (
      select v_at + coalesce((select t.clock_offset from public.tenants t where t.id = b.tenant_id), '0') as at
    ) n
    where a.id = b.id and not exists (select from unnest(v_seen) s where s.dedup_key = b.dedup_key)
    returning a.id, b.status as status_before
  )
  select array_agg(c.id) into v_resolved from cleared c where c.status_before <> 'resolved';
  perform private.tell_alerts(v_resolved, 'resolved');
  return row(cardinality(v_opened), coalesce(cardinality(v_resolved), 0));
end
$$;
revoke all on function private.evaluate_alert_rules(timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.evaluate_alert_rules(timestamptz) to service_role;

create function public.evaluate_alert_rules(at timestamptz default null) returns setof public.evaluation_answer
language sql volatile security invoker set search_path = '' as $$ select * from private.evaluate_alert_rules($1) $$;
comment on function public.evaluate_alert_rules(timestamptz) is
  'Asks every rule what it sees, at a time or now, and says how many alerts that opened and resolved. Service role.';
revoke all on function public.evaluate_alert_rules(timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.evaluate_alert_rules(timestamptz) to service_role;
