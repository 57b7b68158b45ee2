import { z } from "zod";

/** From the least to the worst. */
export const AlertSeverity = z.enum(["low", "medium", "high", "critical"]);
export type AlertSeverity = z.infer<typeof AlertSeverity>;

/** `acknowledged`: somebody has seen it, and it still holds. */
export const AlertStatus = z.enum(["open", "acknowledged", "resolved"]);
export type AlertStatus = z.infer<typeof AlertStatus>;

export const ChannelType = z.enum(["email", "slack", "webhook", "pagerduty", "console"]);
export type ChannelType = z.infer<typeof ChannelType>;

/** What a rule watches. The second half is for the operator's rules alone, those without a tenant. */
export const AlertType = z.enum([
  "execution_failure",
  "rate_limit_breach",
  "quota_warning",
  "usage_threshold",
  "overage_detected",
  "payment_failed",
  "cost_spike",
  "usage_anomaly",
  "system_error",
  "webhook_failure_rate",
  "stripe_event_unapplied",
  "stripe_api_errors",
  "payment_failure_rate",
  "quota_denial_rate",
  "quota_denied_tenants",
  "rate_limited_tenants",
  "checkout_burst",
  "unauthorized_admin_access",
  "critical_audit_event",
  "database_connections",
  "schedule_failed",
]);
export type AlertType = z.infer<typeof AlertType>;

/**
 * What rules of a type go by where they do not say otherwise; `description` tells what the threshold counts. From
 * `critical_threshold` on an alert is critical, where a rule has no threshold of its own; null: there is no such step.
 */
export const AlertRuleType = z.object({
  type: AlertType,
  /** Whether tenants may have such rules; the others are the operator's alone. */
  is_of_tenants: z.boolean(),
  threshold: z.number(),
  critical_threshold: z.number().nullable(),
  window_minutes: z.int(),
  severity: AlertSeverity,
  action_required: z.boolean(),
  description: z.string(),
});
export type AlertRuleType = z.infer<typeof AlertRuleType>;

const ruleFields = {
  name: z.string(),
  type: AlertType,
  metric: z.string().nullable(),
  threshold: z.number().nullable(),
  window_minutes: z.int().nullable(),
  severity: AlertSeverity.nullable(),
  enabled: z.boolean(),
  cooldown: z.string(),
  channel_ids: z.array(z.string()),
};

/**
 * A rule of a tenant; `tenant_id` null: the operator's, over all tenants. Null `metric`: every one. Null `threshold`,
 * `window_minutes`, `severity`: those of the type. `cooldown` (an interval, `00:05:00`): how long after its end the rule
 * keeps quiet about the same thing. `channel_ids`: who is told; none named is every channel of the tenant.
 */
export const AlertRule = z.object({
  id: z.string(),
  tenant_id: z.string().nullable(),
  ...ruleFields,
  created_at: z.string(),
  updated_at: z.string(),
});
export type AlertRule = z.infer<typeof AlertRule>;

/** What a rule is made of; see `AlertRule`. The `cooldown` is ISO 8601 (`PT5M`) or as Postgres writes it (`5 minutes`). */
export const NewAlertRule = z.strictObject({
  name: ruleFields.name,
  type: ruleFields.type,
  metric: ruleFields.metric.exactOptional(),
  threshold: ruleFields.threshold.exactOptional(),
  window_minutes: ruleFields.window_minutes.exactOptional(),
  severity: ruleFields.severity.exactOptional(),
  enabled: ruleFields.enabled.exactOptional(),
  cooldown: ruleFields.cooldown.exactOptional(),
  channel_ids: ruleFields.channel_ids.exactOptional(),
});
export type NewAlertRule = z.infer<typeof NewAlertRule>;

/** What is to change of a rule; its type stays. */
export type AlertRuleChanges = Partial<Omit<NewAlertRule, "type">>;

const channelFields = {
  id: z.string(),
  tenant_id: z.string().nullable(),
  name: z.string(),
  min_severity: AlertSeverity,
  enabled: z.boolean(),
  is_from_environment: z.boolean(),
  disabled_reason: z.string().nullable(),
  secret_rotated_at: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
};

/**
 * Where alerts of `min_severity` and above go to; `tenant_id` null: the operator's. Secrets are in Vault and never read again: of Slack's `webhook_url` and
 * PagerDuty's `routing_key` there is a mask (`https://hooks.slack.com/…`). `disabled_reason`: why the database has switched it
 * off, as when the endpoint is gone. `secret_rotated_at`, of a webhook alone: since when its signing secret is the present one.
 * `is_from_environment`: one of the operator's that its configuration names, and takes away again.
 */
export const AlertChannel = z.discriminatedUnion("type", [
  z.object({
    ...channelFields,
    type: z.literal("email"),
    config: z.object({ recipients: z.array(z.string()) }),
  }),
  z.object({
    ...channelFields,
    type: z.literal("slack"),
    config: z.object({ webhook_url: z.string(), channel: z.string().optional() }),
  }),
  z.object({ ...channelFields, type: z.literal("webhook"), config: z.object({ url: z.string() }) }),
  z.object({ ...channelFields, type: z.literal("pagerduty"), config: z.object({ routing_key: z.string() }) }),
  z.object({ ...channelFields, type: z.literal("console"), config: z.object({}) }),
]);
export type AlertChannel = z.infer<typeof AlertChannel>;

const channelInput = {
  name: z.string(),
  min_severity: AlertSeverity.exactOptional(),
  enabled: z.boolean().exactOptional(),
};
const EmailConfig = z.strictObject({ recipients: z.array(z.email()).min(1) });
const SlackConfig = z.strictObject({ webhook_url: z.url(), channel: z.string().exactOptional() });
const WebhookConfig = z.strictObject({ url: z.url() });
const PagerDutyConfig = z.strictObject({ routing_key: z.string().min(1) });
const ConsoleConfig = z.strictObject({});

/** What a channel is made of, secrets in clear: the database keeps them and shows their masks alone. */
export const NewAlertChannel = z.discriminatedUnion("type", [
  z.strictObject({ ...channelInput, type: z.literal("email"), config: EmailConfig }),
  z.strictObject({ ...channelInput, type: z.literal("slack"), config: SlackConfig }),
  z.strictObject({ ...channelInput, type: z.literal("webhook"), config: WebhookConfig }),
  z.strictObject({ ...channelInput, type: z.literal("pagerduty"), config: PagerDutyConfig }),
  z.strictObject({ ...channelInput, type: z.literal("console"), config: ConsoleConfig.exactOptional() }),
]);
export type NewAlertChannel = z.infer<typeof NewAlertChannel>;

/** What is to change of a channel. A `config` is the whole of it, in clear; its type stays. */
export interface AlertChannelChanges {
  name?: string;
  min_severity?: AlertSeverity;
  enabled?: boolean;
  config?: Exclude<NewAlertChannel["config"], undefined>;
}

/**
 * Something that a rule has seen, from when its condition was seen until it was seen no more (`cleared_at`). `dedup_key` says
 * what it is about: of one thing there is one alert that is not cleared. `occurrences` is how often it was seen with new facts.
 * `data` are the facts behind the message, such as `{ usage: { current, quota, percentage } }`. `opened_at` and
 * `last_occurred_at` are in the tenant's time. `acknowledged_by`, `resolved_by`: a user or API key, or `system`.
 */
export const Alert = z.object({
  id: z.string(),
  tenant_id: z.string().nullable(),
  rule_id: z.string().nullable(),
  type: AlertType,
  severity: AlertSeverity,
  title: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()),
  action_required: z.boolean(),
  dedup_key: z.string(),
  status: AlertStatus,
  occurrences: z.int(),
  opened_at: z.string(),
  last_occurred_at: z.string(),
  acknowledged_at: z.string().nullable(),
  acknowledged_by: z.string().nullable(),
  resolved_at: z.string().nullable(),
  resolved_by: z.string().nullable(),
  resolution_note: z.string().nullable(),
  cleared_at: z.string().nullable(),
});
export type Alert = z.infer<typeof Alert>;

/**
 * A message of an alert to one recipient of a channel, without what it says. `failed` is tried again at `next_attempt_at`;
 * `dead` is not, unless it is replayed.
 */
export const AlertNotification = z.object({
  id: z.string(),
  tenant_id: z.string().nullable(),
  alert_id: z.string().nullable(),
  channel_id: z.string().nullable(),
  kind: z.literal("alert"),
  recipient: z.string().nullable(),
  lane: z.string(),
  status: z.enum(["pending", "sending", "sent", "failed", "dead"]),
  attempts: z.int(),
  next_attempt_at: z.string(),
  locked_until: z.string().nullable(),
  last_error: z.string().nullable(),
  created_at: z.string(),
  sent_at: z.string().nullable(),
});
export type AlertNotification = z.infer<typeof AlertNotification>;
