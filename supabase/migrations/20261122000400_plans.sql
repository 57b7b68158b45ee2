-- Plans: what can be bought, what each metric is, and what is in force for one tenant.
--
-- A limit belongs to a window: (metric, period, per). `per` says whether the whole tenant shares it or each subject
-- (user or API key) has its own. limit_value null = unlimited but counted, 0 = not included; no row = not limited and not
-- counted. A hard limit denies; a soft one allows and reports. An override (tenant_limits) replaces the plan's limit of
-- its window or adds a window that the plan lacks. Entitlements are a view over both, so nothing has to be kept in step.

set lock_timeout = '5s';
set statement_timeout = '60s';

create type public.metric_kind as enum ('counter', 'gauge');
-- In the order in which windows are locked, see the quota domain.
create type public.quota_period as enum ('minute', 'hour', 'day', 'month', 'none');
create type public.quota_enforcement as enum ('hard', 'soft');
create type public.quota_scope as enum ('tenant', 'subject');
create type public.failure_mode as enum ('closed', 'open');
create type public.price_interval as enum ('month', 'year');

create table public.billing_plans (
  id text primary key,
  name text not null,
  description text not null,
  is_self_serve boolean not null default false,
  trial_days int,
  grace_days int not null default 7,
  credit_rollover_months int default 0,
  sort_order int not null,
  constraint billing_plans_trial_days_positive check (trial_days > 0),
  constraint billing_plans_grace_days_not_negative check (grace_days >= 0),
  constraint billing_plans_credit_rollover_months_not_negative check (credit_rollover_months >= 0)
);
comment on table public.billing_plans is 'The plans a tenant can be on.';
comment on column public.billing_plans.is_self_serve is 'Whether a user may create a tenant on it without paying.';
comment on column public.billing_plans.grace_days is 'How long a tenant keeps the plan after a payment has failed.';
comment on column public.billing_plans.credit_rollover_months is
  'How long a month''s credits stay good after it has ended; null: for ever.';
comment on column public.billing_plans.sort_order is 'From the least plan to the greatest: of two that are paid for, the later is in force.';
alter table public.billing_plans enable row level security;
revoke all on public.billing_plans from anon, authenticated, service_role;
grant select on public.billing_plans to anon, authenticated;
grant select, insert, update, delete on public.billing_plans to service_role;
create policy everyone_reads_plans on public.billing_plans for select to anon, authenticated using (true);
create trigger audit_change after insert or update or delete on public.billing_plans
  for each row execute function private.audit_change('billing_plan', 'id');

-- tenants is as new as this table.
alter table public.tenants
  -- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
  add constraint tenants_plan_id_fkey foreign key (plan_id) references public.billing_plans (id);
-- squawk-ignore require-concurrent-index-creation
create index tenants_by_plan on public.tenants (plan_id);

create table public.plan_prices (
  id text primary key,
  plan_id text not null references public.billing_plans (id),
  product text not null,
  "interval" public.price_interval not null,
  unit_amount int not null,
  currency text not null default 'usd',
  credits_per_month int not null default 0,
  stripe_price_id text,
  constraint plan_prices_stripe_price_id_unique unique (stripe_price_id),
  constraint plan_prices_product_once unique (product, "interval", currency),
  constraint plan_prices_unit_amount_not_negative check (unit_amount >= 0),
  constraint plan_prices_credits_not_negative check (credits_per_month >= 0),
  constraint plan_prices_currency_form check (currency ~ '^[a-z]{3}$')
);
comment on table public.plan_prices is 'What a plan costs. The discount of a yearly price is computed, not stored.';
comment on column public.plan_prices.product is 'What is sold, by the name that customers see; monthly and yearly prices of it share the name.';
comment on column public.plan_prices.credits_per_month is 'Credits that each paid month grants, of a yearly price too.';
comment on column public.plan_prices.stripe_price_id is 'Null: not for sale.';
comment on column public.plan_prices.unit_amount is 'In the smallest unit of the currency: cents.';
alter table public.plan_prices enable row level security;
revoke all on public.plan_prices from anon, authenticated, service_role;
grant select on public.plan_prices to anon, authenticated;
grant select, insert, update, delete on public.plan_prices to service_role;
create policy everyone_reads_prices on public.plan_prices for select to anon, authenticated using (true);
create index plan_prices_by_plan on public.plan_prices (plan_id);
create trigger audit_change after insert or update or delete on public.plan_prices
  for each row execute function private.audit_change('plan_price', 'id');

create view public.price_list with (security_invoker = true) as
select p.id as price_id, p.plan_id,
  p.product || case p."interval" when 'month' then ' - Monthly' else ' - Annual' end as name,
  p."interval", p.unit_amount, p.currency, p.credits_per_month, p.stripe_price_id,
  round(100 - 100.0 * p.unit_amount / nullif(12 * m.unit_amount, 0), 1) as discount_percent,
  b.sort_order
from public.plan_prices p
join public.billing_plans b on b.id = p.plan_id
left join public.plan_prices m
  on m.product = p.product and m.currency = p.currency and m."interval" = 'month' and p."interval" = 'year';
comment on view public.price_list is 'The prices as customers see them, a yearly one with its discount against twelve months.';
revoke all on public.price_list from anon, authenticated, service_role;
grant select on public.price_list to anon, authenticated, service_role;

create table public.metrics (
  id text primary key,
  unit text not null,
  kind public.metric_kind not null,
  default_period public.quota_period not null,
  failure_mode public.failure_mode not null default 'closed',
  receipt_sample_rate real not null default 0,
  description text not null,
  constraint metrics_id_form check (id ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint metrics_receipt_sample_rate_is_a_share check (receipt_sample_rate between 0 and 1)
);
comment on table public.metrics is 'What is counted. A counter counts what happens in a window; a gauge, what exists.';
comment on column public.metrics.failure_mode is 'What a client does when the database cannot be asked: allow (open) or refuse (closed).';
comment on column public.metrics.receipt_sample_rate is 'The share of grants that leave a receipt; denials always do.';
alter table public.metrics enable row level security;
revoke all on public.metrics from anon, authenticated, service_role;
grant select on public.metrics to anon, authenticated;
grant select, insert, update, delete on public.metrics to service_role;
create policy everyone_reads_metrics on public.metrics for select to anon, authenticated using (true);
create trigger audit_change after insert or update or delete on public.metrics
  for each row execute function private.audit_change('metric', 'id');

create table public.plan_limits (
  plan_id text not null references public.billing_plans (id) on delete cascade,
  metric text not null references public.metrics (id),
  period public.quota_period not null,
  per public.quota_scope not null default 'tenant',
  limit_value bigint,
  enforcement public.quota_enforcement not null default 'hard',
  primary key (plan_id, metric, period, per),
  constraint plan_limits_limit_value_range check (limit_value between 0 and 9007199254740991)
);
comment on table public.plan_limits is 'How much of a metric a plan includes in one window; null is unlimited.';
alter table public.plan_limits enable row level security;
revoke all on public.plan_limits from anon, authenticated, service_role;
grant select on public.plan_limits to anon, authenticated;
grant select, insert, update, delete on public.plan_limits to service_role;
create policy everyone_reads_plan_limits on public.plan_limits for select to anon, authenticated using (true);
create index plan_limits_by_metric on public.plan_limits (metric);
create trigger audit_change after insert or update or delete on public.plan_limits
  for each row execute function private.audit_change('plan_limit', 'plan_id');

create table public.tenant_limits (
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  metric text not null references public.metrics (id),
  period public.quota_period not null,
  per public.quota_scope not null default 'tenant',
  limit_value bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, metric, period, per),
  constraint tenant_limits_limit_value_range check (limit_value between 0 and 9007199254740991)
);
comment on table public.tenant_limits is 'Overrides: limits agreed with one tenant.';
alter table public.tenant_limits enable row level security;
revoke all on public.tenant_limits from anon, authenticated, service_role;
grant select on public.tenant_limits to authenticated;
grant select, insert, update, delete on public.tenant_limits to service_role;
create policy members_read_tenant_limits on public.tenant_limits for select to authenticated
  using (tenant_id = any (array(select private.tenant_ids_with('usage:read'))));
create index tenant_limits_by_metric on public.tenant_limits (metric);
create trigger set_updated_at before update on public.tenant_limits
  for each row execute function private.set_updated_at();
create trigger audit_change after insert or update or delete on public.tenant_limits
  for each row execute function private.audit_change('tenant_limit', 'metric');

create view public.entitlements with (security_invoker = true) as
select t.id as tenant_id, l.metric, l.period, l.per,
  case when o.tenant_id is null then l.limit_value else o.limit_value end as limit_value,
  l.enforcement,
  o.tenant_id is not null as is_override
from public.tenants t
join public.plan_limits l on l.plan_id = t.plan_id
left join public.tenant_limits o
  on o.tenant_id = t.id and o.metric = l.metric and o.period = l.period and o.per = l.per
union all
select o.tenant_id, o.metric, o.period, o.per, o.limit_value, 'hard', true
from public.tenant_limits o
where not exists (
  select
  from public.tenants t
  join public.plan_limits l on l.plan_id = t.plan_id
  where t.id = o.tenant_id and l.metric = o.metric and l.period = o.period and l.per = o.per
);
comment on view public.entitlements is 'The limit in force for each tenant and window: the plan''s, or the override in its place.';
revoke all on public.entitlements from anon, authenticated, service_role;
grant select on public.entitlements to authenticated, service_role;


-- The catalogue ------------------------------------------------------------------------------------------------------

insert into public.metrics (id, unit, kind, default_period, failure_mode, description) values
  ('tokens', 'token', 'counter', 'day', 'open', 'Language model tokens, prompt and completion'),
  ('api_calls', 'request', 'counter', 'minute', 'open', 'Requests to the API'),
  ('chat_messages', 'message', 'counter', 'day', 'open', 'Chat messages answered'),
  ('embeddings', 'embedding', 'counter', 'day', 'open', 'Embeddings generated'),
  ('executions', 'execution', 'counter', 'month', 'closed', 'Workflow executions'),
  ('run_minutes', 'minute', 'counter', 'month', 'closed', 'Execution time'),
  ('analysis_runs', 'run', 'counter', 'day', 'closed', 'Analysis runs'),
  ('workflows', 'workflow', 'gauge', 'none', 'closed', 'Workflows that exist'),
  ('connectors', 'connector', 'gauge', 'none', 'closed', 'Connectors that exist'),
  ('team_members', 'member', 'gauge', 'none', 'closed', 'Members of the tenant'),
  ('seats', 'seat', 'gauge', 'none', 'closed', 'Paid seats in use');

insert into public.billing_plans (id, name, description, is_self_serve, trial_days, sort_order) values
  ('free', 'Free', 'To start with', true, null, 10),
  ('trial', 'Trial', 'Chat and embeddings for 14 days', true, 14, 20),
  ('starter', 'Starter', 'Chat and embeddings for a small team', false, null, 30),
  ('startup', 'Startup', 'API requests and analysis runs for each user', false, null, 40),
  ('pro', 'Pro', 'Chat, embeddings and workflows for a growing team', false, null, 50),
  ('enterprise', 'Enterprise', 'Chat and embeddings without limit, workflows at scale', false, null, 60),
  ('unlimited', 'Unlimited', 'API requests and analysis runs without limit', false, null, 70);

insert into public.plan_prices (id, plan_id, product, "interval", unit_amount, credits_per_month) values
  ('startup_monthly', 'startup', 'Startup Audit', 'month', 4900, 300),
  ('startup_annual', 'startup', 'Startup Audit', 'year', 49900, 350),
  ('pro_monthly', 'pro', 'Pro', 'month', 4900, 0),
  ('enterprise_monthly', 'enterprise', 'Enterprise Deep Dive', 'month', 14900, 1000),
  ('enterprise_annual', 'enterprise', 'Enterprise Deep Dive', 'year', 149900, 1200),
  ('enterprise_workflows_monthly', 'enterprise', 'Enterprise', 'month', 19900, 0);

insert into public.plan_limits (plan_id, metric, period, per, limit_value) values
  ('free', 'executions', 'month', 'tenant', 1000),
  ('free', 'run_minutes', 'month', 'tenant', 100),
  ('free', 'workflows', 'none', 'tenant', 10),
  ('free', 'connectors', 'none', 'tenant', 5),
  ('free', 'team_members', 'none', 'tenant', 1),

  ('trial', 'tokens', 'day', 'tenant', 10000),
  ('trial', 'api_calls', 'minute', 'tenant', 30),
  ('trial', 'chat_messages', 'day', 'tenant', 100),
  ('trial', 'embeddings', 'day', 'tenant', 50),

  ('starter', 'tokens', 'day', 'tenant', 100000),
  ('starter', 'api_calls', 'minute', 'tenant', 60),
  ('starter', 'chat_messages', 'day', 'tenant', 1000),
  ('starter', 'embeddings', 'day', 'tenant', 500),

  ('startup', 'api_calls', 'day', 'subject', 1000),
  ('startup', 'api_calls', 'month', 'subject', 20000),
  ('startup', 'analysis_runs', 'day', 'subject', 20),
  ('startup', 'analysis_runs', 'month', 'subject', 200),

  ('pro', 'tokens', 'day', 'tenant', 500000),
  ('pro', 'api_calls', 'minute', 'tenant', 120),
  ('pro', 'chat_messages', 'day', 'tenant', 5000),
  ('pro', 'embeddings', 'day', 'tenant', 2000),
  ('pro', 'executions', 'month', 'tenant', 50000),
  ('pro', 'run_minutes', 'month', 'tenant', 5000),
  ('pro', 'workflows', 'none', 'tenant', 100),
  ('pro', 'connectors', 'none', 'tenant', 50),
  ('pro', 'team_members', 'none', 'tenant', 10),

  ('enterprise', 'tokens', 'day', 'tenant', null),
  ('enterprise', 'api_calls', 'minute', 'tenant', null),
  ('enterprise', 'api_calls', 'day', 'subject', 10000),
  ('enterprise', 'api_calls', 'month', 'subject', 200000),
  ('enterprise', 'chat_messages', 'day', 'tenant', null),
  ('enterprise', 'embeddings', 'day', 'tenant', null),
  ('enterprise', 'executions', 'month', 'tenant', 500000),
  ('enterprise', 'run_minutes', 'month', 'tenant', 50000),
  ('enterprise', 'analysis_runs', 'day', 'subject', 500),
  ('enterprise', 'analysis_runs', 'month', 'subject', 5000),
  ('enterprise', 'workflows', 'none', 'tenant', 1000),
  ('enterprise', 'connectors', 'none', 'tenant', 500),
  ('enterprise', 'team_members', 'none', 'tenant', 100),

  ('unlimited', 'api_calls', 'day', 'subject', null),
  ('unlimited', 'api_calls', 'month', 'subject', null),
  ('unlimited', 'analysis_runs', 'day', 'subject', null),
  ('unlimited', 'analysis_runs', 'month', 'subject', null);
