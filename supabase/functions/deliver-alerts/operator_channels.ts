import type { AlertSeverity } from "../_shared/alert_message.ts";
import type { AlertsSettings } from "../_shared/env.ts";

export interface OperatorChannel {
  type: "email" | "slack" | "webhook" | "pagerduty";
  /** Of no other channel of its type, and without a secret. */
  name: string;
  config: Record<string, unknown>;
  /** What is less severe is not for this channel. */
  min_severity?: AlertSeverity;
}

/** The operator's channels that the environment names. */
export function operatorChannels({ emails, slack, webhooks, pagerdutyKey }: AlertsSettings["operator"]) {
  const channels: OperatorChannel[] = [];
  if (emails.length > 0) channels.push({ type: "email", name: "E-mail", config: { recipients: emails } });
  if (slack) {
    const { webhookUrl, channel } = slack;
    const config = { webhook_url: webhookUrl, ...(channel !== null && { channel }) };
    channels.push({ type: "slack", name: "Slack", config });
  }
  const named = new Map<string, number>();
  for (const url of new Set(webhooks)) {
    const { host, pathname } = new URL(url);
    const place = `${host}${pathname}`.slice(0, 80); // what else a URL has may be a secret
    const count = (named.get(place) ?? 0) + 1;
    named.set(place, count);
    channels.push({ type: "webhook", name: count === 1 ? place : `${place} (${count})`, config: { url } });
  }
  if (pagerdutyKey !== null) {
    const config = { routing_key: pagerdutyKey };
    channels.push({ type: "pagerduty", name: "PagerDuty", config, min_severity: "critical" }); // it wakes people
  }
  return channels;
}
