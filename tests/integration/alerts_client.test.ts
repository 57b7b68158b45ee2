import { randomUUID } from "node:crypto";
import { beforeEach, expect, inject, test } from "vitest";
import {
  type Alert,
  AlertManager,
  BillingMonitor,
  createMeterbase,
  type Meterbase,
  type MeterbaseError,
  type NewAlertChannel,
  type NewAlertRule,
} from "../../src/index.ts";
import { anon, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { until } from "../helpers/until.ts";

const { mailboxUrl, webhookSinkUrl } = inject("stack");
const operator = createMeterbase(service);
const of = ({ client }: Person): Meterbase => createMeterbase(client);
const refusal = (name: string, code: string): Partial<MeterbaseError> => ({ name, code });
const DENIED = refusal("PermissionError", "42501");

let owner: Person;
let viewer: Person;
let stranger: Person;
let tenant: Tenant;
let elsewhere: Tenant;

beforeEach(async () => {
  [owner, viewer, stranger] = await Promise.all([signUp(), signUp(), signUp()]);
  [tenant, elsewhere] = await Promise.all([createTenant(owner.client), createTenant(stranger.client)]);
  const membership = { tenant_id: tenant.id, user_id: viewer.id, role: "viewer" as const };
  const { error } = await service.from("memberships").insert(membership);
  if (error) throw error;
});

/** An endpoint of the sink for one test alone. */
const hook = () => `${webhookSinkUrl}/${randomUUID()}`;
interface Request {
  path: string;
  headers: Record<string, string>;
  body: string;
}
async function requestsTo(url: string): Promise<Request[]> {
  const all = (await (await fetch(`${webhookSinkUrl}/requests`)).json()) as Request[];
  return all.filter(({ path }) => path === new URL(url).pathname);
}
interface Mail {
  to: string[];
  subject: string;
}
async function mailsTo(address: string): Promise<Mail[]> {
  const all = (await (await fetch(`${mailboxUrl}/messages`)).json()) as Mail[];
  return all.filter(({ to }) => to.includes(address));
}

const webhook = (url: string): NewAlertChannel => ({ type: "webhook", name: "Hook", config: { url } });

/** Takes 85 % of the tenant's tokens of the day, which opens the alert of a rule about them. */
async function useTokens(tenantId = tenant.id): Promise<void> {
  expect(await operator.quota.consumeQuota(tenantId, "tokens", { amount: 8_500 })).toMatchObject({
    allowed: true,
  });
}

/** A tenant's alert of 85 % of its tokens. */
async function openAlert(person = owner, tenantId = tenant.id): Promise<Alert> {
  await of(person).alerts.createRule(tenantId, { type: "usage_threshold", name: "Tokens", metric: "tokens" });
  await useTokens(tenantId);
  await operator.alerts.evaluate();
  const [alert, ...others] = await of(person).alerts.list(tenantId);
  expect(others).toEqual([]);
  return alert as Alert;
}

test("everybody signed in reads what rules there can be", async () => {
  const types = await of(stranger).alerts.ruleTypes();
  expect(types).toContainEqual(
    expect.objectContaining({ type: "usage_threshold", threshold: 80, critical_threshold: 95 }),
  );
  expect(types).toHaveLength(21);
  await expect(createMeterbase(anon).alerts.ruleTypes()).rejects.toMatchObject({ name: "PermissionError" });
});

test("a member makes, changes and takes rules away; a viewer reads them, and a stranger sees none", async () => {
  const { alerts } = of(owner);
  const channel = await alerts.createChannel(tenant.id, { type: "console", name: "Log" });
  const rule = await alerts.createRule(tenant.id, {
    type: "execution_failure",
    name: "Failures",
    threshold: 3,
    cooldown: "PT5M",
    channel_ids: [channel.id],
  });
  expect(rule).toMatchObject({
    tenant_id: tenant.id,
    type: "execution_failure",
    metric: null,
    threshold: 3,
    window_minutes: null,
    severity: null,
    enabled: true,
    cooldown: "00:05:00",
    channel_ids: [channel.id],
  });
  const second = await alerts.createRule(tenant.id, {
    type: "cost_spike",
    name: "Cost",
    severity: "low",
    window_minutes: 60,
    enabled: false,
  });
  expect(await of(viewer).alerts.listRules(tenant.id)).toEqual([rule, second]);
  expect(await alerts.listRules(tenant.id, { limit: 1, offset: 1 })).toEqual([second]);
  expect(await of(stranger).alerts.listRules(tenant.id)).toEqual([]);
  expect(await alerts.listRules(null)).toEqual([]);

  const made = { type: "cost_spike", name: "Mine" } as const;
  for (const { client } of [viewer, stranger]) {
    const other = createMeterbase(client).alerts;
    await expect(other.createRule(tenant.id, made)).rejects.toMatchObject(DENIED);
    await expect(other.updateRule(rule.id, { enabled: false })).rejects.toMatchObject(
      refusal("NotFoundError", "alert_rule_not_found"),
    );
    await expect(other.deleteRule(rule.id)).rejects.toMatchObject({ code: "alert_rule_not_found" });
  }
  await expect(alerts.createRule(null, made)).rejects.toMatchObject(DENIED);
  expect(await of(owner).alerts.listRules(tenant.id)).toEqual([rule, second]);

  expect(
    await alerts.updateRule(rule.id, { threshold: null, name: "F", severity: "critical" }),
  ).toMatchObject({ id: rule.id, threshold: null, name: "F", severity: "critical", cooldown: "00:05:00" });
  expect(await alerts.updateRule(second.id, {})).toEqual(second);
  expect(await alerts.deleteRule(rule.id)).toBeUndefined();
  await expect(alerts.deleteRule(rule.id)).rejects.toMatchObject({ code: "alert_rule_not_found" });
  expect(await alerts.listRules(tenant.id)).toEqual([second]);
});

test("a rule that makes no sense is refused with a reason", async () => {
  const { alerts } = of(owner);
  const theirs = await of(stranger).alerts.createChannel(elsewhere.id, { type: "console", name: "Log" });
  const rule = { type: "cost_spike", name: "Cost" } as const;
  for (const [input, name, code, message] of [
    [{ name: "" }, "InvalidRequestError", "23514", "alert_rules_name_length"],
    [{ threshold: -1 }, "InvalidRequestError", "23514", "alert_rules_threshold_range"],
    [{ window_minutes: 0 }, "InvalidRequestError", "23514", "alert_rules_window_minutes_range"],
    [{ cooldown: "40 days" }, "InvalidRequestError", "23514", "alert_rules_cooldown_range"],
    [{ metric: "none_such" }, "ConflictError", "23503", "alert_rules_metric_fkey"],
    [{ type: "system_error" }, "InvalidRequestError", "invalid_alert_rule", "system_error"],
    [{ channel_ids: [theirs.id] }, "InvalidRequestError", "invalid_alert_rule", "channels"],
  ] as const) {
    const refused = alerts.createRule(tenant.id, { ...rule, ...input } as NewAlertRule);
    await expect(refused, message).rejects.toMatchObject({
      ...refusal(name, code),
      message: expect.stringContaining(message),
    });
  }
  await expect(operator.alerts.createRule(randomUUID(), rule)).rejects.toMatchObject(
    refusal("ConflictError", "23503"),
  );
  const made = await alerts.createRule(tenant.id, rule);
  await expect(alerts.updateRule(made.id, { name: "" })).rejects.toMatchObject({ code: "23514" });
  const change = { tenant_id: elsewhere.id } as never;
  await expect(alerts.updateRule(made.id, change)).rejects.toMatchObject(DENIED);
  expect(await alerts.listRules(tenant.id)).toEqual([made]);
});

test("the operator's rules and channels have no tenant, and are the operator's alone", async () => {
  const channel = await operator.alerts.createChannel(null, { type: "console", name: `Log ${randomUUID()}` });
  const rule = await operator.alerts.createRule(null, {
    type: "schedule_failed",
    name: `Late ${randomUUID()}`,
    enabled: false,
    channel_ids: [channel.id],
  });
  expect([channel.tenant_id, rule.tenant_id]).toEqual([null, null]);
  expect(await operator.alerts.listRules(null)).toContainEqual(rule);
  expect(await operator.alerts.listChannels(null)).toContainEqual(channel);
  const { alerts } = of(owner);
  expect([await alerts.listRules(null), await alerts.listChannels(null), await alerts.list(null)]).toEqual([
    [],
    [],
    [],
  ]);
  await expect(alerts.deleteRule(rule.id)).rejects.toMatchObject({ code: "alert_rule_not_found" });
  await expect(alerts.testChannel(channel.id)).rejects.toMatchObject({
    name: expect.stringMatching(/Error$/),
  });
  await expect(alerts.createChannel(null, { type: "console", name: "Log" })).rejects.toMatchObject(DENIED);
  await operator.alerts.deleteRule(rule.id);
  await operator.alerts.deleteChannel(channel.id);
});

test("a channel shows a mask for its secret, to its owner as well", async () => {
  const { alerts } = of(owner);
  const secrets = ["T000/B000/slacksecret", "R0UTINGKEY0SECRET0000000000wxyz"];
  const slack = await alerts.createChannel(tenant.id, {
    type: "slack",
    name: "Slack",
    config: { webhook_url: `https://hooks.slack.com/services/${secrets[0]}`, channel: "#billing-alerts" },
  });
  expect(slack).toMatchObject({
    type: "slack",
    config: { webhook_url: "https://hooks.slack.com/…", channel: "#billing-alerts" },
  });
  const pager = await alerts.createChannel(tenant.id, {
    type: "pagerduty",
    name: "Pager",
    config: { routing_key: secrets[1] as string },
  });
  expect(pager.config).toEqual({ routing_key: "…wxyz" });
  const url = hook();
  const hooked = await alerts.createChannel(tenant.id, webhook(url));
  expect(hooked).toMatchObject({ config: { url }, secret_rotated_at: null, disabled_reason: null });
  const email = await alerts.createChannel(tenant.id, {
    type: "email",
    name: "Us",
    config: { recipients: [owner.email] },
  });

  const channels = await of(viewer).alerts.listChannels(tenant.id);
  expect(channels).toEqual([slack, pager, hooked, email]);
  expect(await of(stranger).alerts.listChannels(tenant.id)).toEqual([]);
  const secret = await alerts.rotateChannelSecret(hooked.id);
  expect(secret).toMatch(/^whsec_/);
  for (const reader of [owner.client, service]) {
    const { data } = await reader.from("alert_channels").select("*").eq("tenant_id", tenant.id);
    expect(data).toHaveLength(4);
    for (const hidden of [...secrets, secret]) expect(JSON.stringify(data)).not.toContain(hidden);
  }
  const [, , rotated] = await alerts.listChannels(tenant.id);
  expect(rotated).toMatchObject({ id: hooked.id, secret_rotated_at: expect.any(String) });

  // A mask that comes back, as of a form, changes nothing.
  const renamed = await alerts.updateChannel(slack.id, { name: "S", config: slack.config as never });
  expect(renamed).toMatchObject({ name: "S", config: slack.config });
});

test("only who may change a tenant's alerts changes its channels", async () => {
  const { alerts } = of(owner);
  const channel = await alerts.createChannel(tenant.id, webhook(hook()));
  for (const { client } of [viewer, stranger]) {
    const other = createMeterbase(client).alerts;
    await expect(other.createChannel(tenant.id, webhook(hook()))).rejects.toMatchObject(DENIED);
    await expect(other.updateChannel(channel.id, { enabled: false })).rejects.toMatchObject(
      refusal("NotFoundError", "alert_channel_not_found"),
    );
    await expect(other.deleteChannel(channel.id)).rejects.toMatchObject({ code: "alert_channel_not_found" });
  }
  await expect(of(viewer).alerts.testChannel(channel.id)).rejects.toMatchObject({
    code: "permission_denied",
  });
  await expect(of(viewer).alerts.rotateChannelSecret(channel.id)).rejects.toMatchObject({
    code: "permission_denied",
  });
  for (const act of ["testChannel", "rotateChannelSecret"] as const) {
    await expect(of(stranger).alerts[act](channel.id)).rejects.toMatchObject(
      refusal("NotFoundError", "alert_channel_not_found"),
    );
  }
  expect(await alerts.listChannels(tenant.id)).toEqual([channel]);

  expect(await alerts.updateChannel(channel.id, { enabled: false })).toMatchObject({ enabled: false });
  await expect(alerts.testChannel(channel.id)).rejects.toMatchObject(
    refusal("ConflictError", "channel_disabled"),
  );
  const log = await alerts.createChannel(tenant.id, { type: "console", name: "Log" });
  await expect(alerts.rotateChannelSecret(log.id)).rejects.toMatchObject(
    refusal("ConflictError", "channel_has_no_secret"),
  );
  for (const bad of [
    { type: "email", name: "E", config: { recipients: [] } },
    { type: "slack", name: "S", config: {} },
    { type: "webhook", name: "W", config: { url: "ftp://example.com" } },
    { type: "pagerduty", name: "P", config: { routing_key: "x" } },
  ]) {
    await expect(alerts.createChannel(tenant.id, bad as never), bad.type).rejects.toMatchObject(
      refusal("InvalidRequestError", "invalid_alert_channel"),
    );
  }
  expect(await alerts.deleteChannel(channel.id)).toBeUndefined();
  expect(await alerts.listChannels(tenant.id)).toEqual([log]);
});

test("an alert opens, is acknowledged, and resolved, by who may", async () => {
  const { alerts } = of(owner);
  const url = hook();
  const channel = await alerts.createChannel(tenant.id, webhook(url));
  const alert = await openAlert();
  expect(alert).toMatchObject({
    tenant_id: tenant.id,
    type: "usage_threshold",
    severity: "medium",
    status: "open",
    action_required: false,
    data: { metric: "tokens", usage: { current: 8_500, quota: 10_000, percentage: 85 } },
    acknowledged_at: null,
    resolved_at: null,
  });
  expect(await of(viewer).alerts.get(alert.id)).toEqual(alert);
  expect(await of(stranger).alerts.list(tenant.id)).toEqual([]);
  for (const act of ["acknowledge", "resolve"] as const) {
    await expect(of(viewer).alerts[act](alert.id)).rejects.toMatchObject({ code: "permission_denied" });
    await expect(of(stranger).alerts[act](alert.id)).rejects.toMatchObject(
      refusal("NotFoundError", "alert_not_found"),
    );
  }
  await expect(of(stranger).alerts.get(alert.id)).rejects.toMatchObject({ code: "alert_not_found" });

  expect([await alerts.acknowledge(alert.id), await alerts.acknowledge(alert.id)]).toEqual([true, false]);
  expect(await alerts.get(alert.id)).toMatchObject({ status: "acknowledged", acknowledged_by: owner.id });
  expect(await alerts.list(tenant.id, { status: "open" })).toEqual([]);
  expect([await alerts.resolve(alert.id, "Upgraded."), await alerts.resolve(alert.id)]).toEqual([
    true,
    false,
  ]);
  expect(await alerts.get(alert.id)).toMatchObject({
    status: "resolved",
    resolved_by: owner.id,
    resolution_note: "Upgraded.",
  });
  expect(await operator.alerts.evaluate()).toEqual({
    opened: expect.any(Number),
    resolved: expect.any(Number),
  });
  expect(await alerts.list(tenant.id)).toHaveLength(1);
  await expect(alerts.resolve(randomUUID())).rejects.toMatchObject({ code: "alert_not_found" });

  const notifications = await alerts.listNotifications(tenant.id);
  expect(notifications).toHaveLength(3);
  expect(new Set(notifications.map(({ channel_id }) => channel_id))).toEqual(new Set([channel.id]));
  expect(await of(viewer).alerts.listNotifications(tenant.id, { alertId: alert.id })).toHaveLength(3);
  expect(await alerts.listNotifications(tenant.id, { alertId: randomUUID() })).toEqual([]);
  expect(await of(stranger).alerts.listNotifications(tenant.id)).toEqual([]);
  const paged = [];
  for (let before = notifications[0]; before; before = paged.at(-1)) {
    const page = await alerts.listNotifications(tenant.id, { limit: 1, before });
    if (page.length === 0) break;
    paged.push(...page);
  }
  const ids = (rows: { id: string }[]) => rows.map(({ id }) => id);
  expect(ids(paged)).toEqual(ids(notifications.slice(1)));
  const [notification] = notifications;
  expect(await alerts.replayNotification(notification?.id ?? "")).toBe(false);
  await expect(of(stranger).alerts.replayNotification(notification?.id ?? "")).rejects.toMatchObject(
    refusal("NotFoundError", "notification_not_found"),
  );
});

test("alerts are listed newest first, page by page, by status and severity", async () => {
  const { alerts } = of(owner);
  for (const threshold of [10, 20, 30, 40, 50]) {
    const severity = threshold > 30 ? "critical" : "low";
    const rule = { type: "usage_threshold", name: "T", metric: "tokens", threshold, severity } as const;
    await alerts.createRule(tenant.id, rule);
  }
  await useTokens(); // all in one transaction, and so at one time
  const all = await alerts.list(tenant.id);
  expect(all).toHaveLength(5);
  const iterated: Alert[] = [];
  for await (const alert of alerts.iterate(tenant.id, {}, 2)) iterated.push(alert);
  expect(iterated).toEqual(all);
  const critical = await alerts.list(tenant.id, { severity: "critical" });
  expect(critical).toHaveLength(2);
  await alerts.resolve(all[0]?.id ?? "");
  expect(await alerts.list(tenant.id, { status: ["open", "acknowledged"] })).toEqual(all.slice(1));
  expect(await alerts.list(tenant.id, { status: "resolved" })).toMatchObject([{ id: all[0]?.id }]);
  expect(await alerts.list(tenant.id, { limit: 1, ...(all[2] && { before: all[2] }) })).toEqual([all[3]]);
});

test("a test alert reaches a mailbox and a webhook", async () => {
  const { alerts } = of(owner);
  const url = hook();
  const recipients = [`${randomUUID()}@example.com`, `${randomUUID()}@example.com`];
  const email = await alerts.createChannel(tenant.id, { type: "email", name: "Us", config: { recipients } });
  const hooked = await alerts.createChannel(tenant.id, webhook(url));
  expect(await alerts.testChannel(email.id)).toHaveLength(2);
  const [sent] = await alerts.testChannel(hooked.id);
  await until(async () => (await Promise.all(recipients.map(mailsTo))).every(({ length }) => length === 1));
  await until(async () => (await requestsTo(url)).length === 1);
  const [request] = await requestsTo(url);
  expect(request?.headers).toMatchObject({ "webhook-id": sent, "webhook-signature": expect.any(String) });
  expect(JSON.parse(request?.body ?? "")).toMatchObject({
    type: "alert.test",
    data: { tenant_id: tenant.id, title: "Test alert" },
  });
  await until(async () => (await alerts.listNotifications(tenant.id, { status: "sent" })).length === 3);
});

test("a monitor sees an alert, and a manager posts it, once", async () => {
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const monitor = new BillingMonitor(operator, { healthIntervalMs: 50, onError });
  const url = hook();
  const manager = new AlertManager({ webhooks: [url] });
  const seen: Alert[] = [];
  const off = monitor.onAlert(async (alert) => {
    if (alert.tenant_id !== tenant.id) return; // others' tests run at the same time
    seen.push(alert);
    await manager.handleAlert(alert);
  });
  monitor.startMonitoring();
  try {
    const alert = await openAlert();
    await until(async () => (await requestsTo(url)).length === 1);
    expect(seen).toEqual([alert]);
    await monitor.stopMonitoring();
    monitor.startMonitoring();
    expect(await monitor.getActiveAlerts(tenant.id)).toEqual([alert]);
    expect(await monitor.getAlertCounts(tenant.id)).toMatchObject({ open: 1, medium: 1 });
    expect(await monitor.resolveAlert(alert.id, "Upgraded.")).toBe(true);
    expect(await monitor.getActiveAlerts(tenant.id)).toEqual([]);
    expect(await monitor.getAlertCounts(tenant.id)).toMatchObject({ open: 0 });
    const [request, ...others] = await requestsTo(url);
    expect(others).toEqual([]);
    expect(JSON.parse(request?.body ?? "")).toMatchObject({ type: "alert.opened", data: { id: alert.id } });
    expect(errors).toEqual([]);
  } finally {
    off();
    await monitor.stopMonitoring();
  }
});

test("health, dashboard, score, report and anomalies are read by who may", async () => {
  await openAlert();
  const event = { event_id: randomUUID(), event_type: "chat_message", tokens_consumed: 150, cost_usd: 0.5 };
  expect(await operator.usage.recordUsage(tenant.id, [event])).toMatchObject({ accepted: 1 });
  const monitor = new BillingMonitor(operator);
  const health = await monitor.getBillingHealth();
  expect(health.components.alerts.open).toBeGreaterThan(0);
  expect(health.components.database.connections).toBeGreaterThan(0);
  expect(await monitor.getBillingHealth()).toBe(health);

  const mine = new BillingMonitor(of(viewer));
  const seen = await mine.getUsageMetrics(tenant.id);
  expect(seen).toMatchObject({
    tenant_id: tenant.id,
    plan_id: "trial",
    today: { tokens: 150, cost_usd: 0.5 },
    alerts: { open: 1, medium: 1 },
  });
  expect(seen).not.toHaveProperty("health");
  await expect(mine.getHealthScore(tenant.id)).rejects.toMatchObject({ code: "permission_denied" });
  const score = await of(owner).health.healthScore(tenant.id);
  expect(score).toMatchObject({
    score: 89,
    grade: "B",
    components: { quota: { score: 60 }, alerts: { score: 90, other: 1 } },
  });
  expect(await of(owner).health.dashboardMetrics(tenant.id)).toMatchObject({
    health: score,
    subscription: { plan_id: "trial", status: "none" },
    unpaid_invoices: 0,
  });
  const from = new Date(Date.now() - 86_400_000);
  const to = new Date(Date.now() + 3_600_000);
  const report = await mine.generateUsageReport(tenant.id, from, to);
  expect(report).toMatchObject({
    tenant_id: tenant.id,
    totals: { tokens: 150, cost_usd: 0.5, errors: 0 },
    cost: { total_usd: 0.5, previous_usd: 0, trend_percent: null },
    compliance: { quota_denials: 0, overages: [], failed_payments: 0 },
  });
  expect(report.days.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(150);
  expect(await monitor.detectAnomalies({ hours: 24, threshold: 1_000_000 })).toEqual([]);

  const strange = of(stranger).health;
  for (const refused of [
    () => strange.dashboardMetrics(tenant.id),
    () => strange.healthScore(tenant.id),
    () => strange.usageReport(tenant.id, from, to),
    () => strange.anomalies(),
  ]) {
    await expect(refused()).rejects.toMatchObject({ name: "PermissionError" });
  }
});
