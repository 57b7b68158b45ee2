import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { type Alert, type AlertChannel, NewAlertChannel, NewAlertRule } from "./alert_rows.ts";
import { Alerts } from "./alerts.ts";
import type { Database } from "./database.types.ts";

/** Alerts over a project that answers as told, and what was asked of it: method, path and body. */
function alertsOver(...answers: unknown[]) {
  const sent: unknown[][] = [];
  const project = async (input: RequestInfo | URL, options: RequestInit = {}) => {
    const { pathname, searchParams } = new URL(String(input));
    options.signal?.throwIfAborted();
    const path = [pathname.replace("/rest/v1/", ""), ...[...searchParams].flat()].join(" ");
    sent.push([options.method, path, ...(options.body ? [JSON.parse(String(options.body))] : [])]);
    return Response.json(answers.length > 1 ? answers.shift() : answers[0]);
  };
  const client = createClient<Database>("http://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: project },
    realtime: { transport: class {} as unknown as typeof WebSocket },
  });
  return { alerts: new Alerts(client), sent };
}

const time = "2027-01-01T00:00:00.123456+00:00";
const rule = {
  id: "r",
  tenant_id: "t",
  name: "Tokens",
  type: "usage_threshold",
  metric: "tokens",
  threshold: null,
  window_minutes: null,
  severity: null,
  enabled: true,
  cooldown: "00:00:00",
  channel_ids: [],
  created_at: time,
  updated_at: time,
};
const channel = {
  id: "c",
  tenant_id: null,
  name: "Us",
  type: "email",
  min_severity: "low",
  config: { recipients: ["a@example.com"] },
  enabled: true,
  is_from_environment: false,
  disabled_reason: null,
  secret_rotated_at: null,
  created_at: time,
  updated_at: time,
} satisfies AlertChannel;
const alert = (id: string, fields: Partial<Alert> = {}): Alert => ({
  id,
  tenant_id: "t",
  rule_id: "r",
  type: "usage_threshold",
  severity: "medium",
  title: "API Usage Warning",
  message: "API usage at 85% of quota.",
  data: { usage: { current: 4_250, quota: 5_000, percentage: 85 } },
  action_required: false,
  dedup_key: "d",
  status: "open",
  occurrences: 1,
  opened_at: time,
  last_occurred_at: time,
  acknowledged_at: null,
  acknowledged_by: null,
  resolved_at: null,
  resolved_by: null,
  resolution_note: null,
  cleared_at: null,
  ...fields,
});
const notification = {
  id: "n",
  tenant_id: "t",
  alert_id: "a",
  channel_id: "c",
  kind: "alert",
  recipient: "a@example.com",
  lane: "email",
  status: "sent",
  attempts: 1,
  next_attempt_at: time,
  locked_until: null,
  last_error: null,
  created_at: time,
  sent_at: time,
};

test("types, rules and channels are listed in an order, the operator's by having no tenant", async () => {
  const type = {
    type: "usage_threshold",
    is_of_tenants: true,
    threshold: 80,
    critical_threshold: 95,
    window_minutes: 1_440,
    severity: "medium",
    action_required: false,
    description: "…",
  };
  const project = alertsOver([type], [rule], [channel], []);
  expect(await project.alerts.ruleTypes()).toEqual([type]);
  expect(await project.alerts.listRules("t", { limit: 5, offset: 10 })).toEqual([rule]);
  expect(await project.alerts.listChannels("t")).toEqual([channel]);
  await project.alerts.listChannels(null);
  const ordered = "order created_at.asc,id.asc offset";
  expect(project.sent).toEqual([
    ["GET", "alert_rule_types select * order type.asc offset 0 limit 1000"],
    ["GET", `alert_rules select * tenant_id eq.t ${ordered} 10 limit 5`],
    ["GET", `alert_channels select * tenant_id eq.t ${ordered} 0 limit 1000`],
    ["GET", `alert_channels select * tenant_id is.null ${ordered} 0 limit 1000`],
  ]);
});

test("rules are made for a tenant, whatever else is said, changed and taken away", async () => {
  const project = alertsOver([rule]);
  const made = { name: "Tokens", type: "usage_threshold", tenant_id: "other" } as const;
  expect(await project.alerts.createRule("t", made)).toEqual(rule);
  expect(await project.alerts.updateRule("r", { threshold: 70, severity: null })).toEqual(rule);
  expect(await project.alerts.deleteRule("r")).toBeUndefined();
  expect(project.sent).toEqual([
    ["POST", "alert_rules select *", { ...made, tenant_id: "t" }],
    ["PATCH", "alert_rules select * id eq.r", { threshold: 70, severity: null }],
    ["DELETE", "alert_rules id eq.r select id"],
  ]);
});

test("channels are made with a config, changed and taken away", async () => {
  const project = alertsOver([channel]);
  const email = { type: "email", name: "Us", config: { recipients: ["a@example.com"] } } as const;
  const recipients = ["a@example.com"];
  expect(await project.alerts.createChannel(null, { ...email, config: { recipients } })).toEqual(channel);
  await project.alerts.createChannel("t", { type: "console", name: "Log" });
  await project.alerts.updateChannel("c", { enabled: false });
  await project.alerts.deleteChannel("c");
  expect(project.sent).toEqual([
    ["POST", "alert_channels select *", { ...email, tenant_id: null }],
    ["POST", "alert_channels select *", { type: "console", name: "Log", config: {}, tenant_id: "t" }],
    ["PATCH", "alert_channels select * id eq.c", { enabled: false }],
    ["DELETE", "alert_channels id eq.c select id"],
  ]);
});

test("changing nothing reads what there is", async () => {
  const project = alertsOver([rule], [channel]);
  expect(await project.alerts.updateRule("r", {})).toEqual(rule);
  expect(await project.alerts.updateChannel("c", {})).toEqual(channel);
  expect(project.sent).toEqual([
    ["GET", "alert_rules select * id eq.r"],
    ["GET", "alert_channels select * id eq.c"],
  ]);
});

test("what there is not, or is not the caller's, is not found", async () => {
  const { alerts } = alertsOver([]);
  for (const [refused, code] of [
    [() => alerts.updateRule("r", { enabled: false }), "alert_rule_not_found"],
    [() => alerts.deleteRule("r"), "alert_rule_not_found"],
    [() => alerts.updateChannel("c", { enabled: false }), "alert_channel_not_found"],
    [() => alerts.deleteChannel("c"), "alert_channel_not_found"],
    [() => alerts.get("a"), "alert_not_found"],
  ] as const) {
    await expect(refused()).rejects.toMatchObject({ name: "NotFoundError", code, status: 404 });
  }
});

test("alerts are read newest first, by what is asked for, and go on after one", async () => {
  const project = alertsOver([alert("a")]);
  expect(await project.alerts.list("t")).toEqual([alert("a")]);
  await project.alerts.list(null, { status: "open", severity: "critical", limit: 2 });
  const before = { id: "a", opened_at: time };
  await project.alerts.list(undefined, { status: ["open", "acknowledged"], before });
  expect(await project.alerts.get("a")).toEqual(alert("a"));
  const page = (limit: number) => `order opened_at.desc,id.desc offset 0 limit ${limit}`;
  expect(project.sent).toEqual([
    ["GET", `alerts select * tenant_id eq.t ${page(50)}`],
    ["GET", `alerts select * tenant_id is.null status in.(open) severity in.(critical) ${page(2)}`],
    [
      "GET",
      `alerts select * status in.(open,acknowledged) opened_at lte.${time} or (opened_at.lt."${time}",id.lt."a") ${page(50)}`,
    ],
    ["GET", "alerts select * id eq.a"],
  ]);
});

test.each([
  [[], 1],
  [["c"], 1],
  [["d", "c"], 2],
  [["d", "c", "b"], 2],
])("iterating over %j by two asks %i times, each time after the last", async (ids, asked) => {
  const rows = ids.map((id) => alert(id));
  const project = alertsOver(rows.slice(0, 2), rows.slice(2));
  const seen: Alert[] = [];
  for await (const one of project.alerts.iterate("t", { status: "open" }, 2)) seen.push(one);
  expect(seen).toEqual(rows);
  expect(project.sent).toHaveLength(asked);
  expect(project.sent.every(([, path]) => String(path).includes("status in.(open)"))).toBe(true);
  if (asked === 2) expect(project.sent[1]?.[1]).toContain('id.lt."c"');
});

test("a listing is given up when asked to", async () => {
  const { alerts } = alertsOver([]);
  const signal = AbortSignal.abort();
  await expect(alerts.list("t", { signal })).rejects.toMatchObject({ name: "UnavailableError" });
});

test("notifications are read without their payload, of alerts alone", async () => {
  const project = alertsOver([notification]);
  expect(await project.alerts.listNotifications("t")).toEqual([notification]);
  const before = { id: "n", created_at: time };
  await project.alerts.listNotifications(null, { status: "dead", alertId: "a", limit: 3, before });
  const columns = Object.keys(notification).join();
  expect(columns).not.toContain("payload");
  const page = (limit: number) => `order created_at.desc,id.desc offset 0 limit ${limit}`;
  const all = `alert_notifications select ${columns} kind eq.alert`;
  const on = `created_at lte.${time} or (created_at.lt."${time}",id.lt."n")`;
  expect(project.sent).toEqual([
    ["GET", `${all} tenant_id eq.t ${page(50)}`],
    ["GET", `${all} tenant_id is.null status eq.dead alert_id eq.a ${on} ${page(3)}`],
  ]);
});

test.each([
  [1, true],
  [0, false],
])("a count of %i is told as %s", async (count, hasChanged) => {
  const project = alertsOver(count);
  expect(await project.alerts.acknowledge("a")).toBe(hasChanged);
  expect(await project.alerts.resolve("a")).toBe(hasChanged);
  expect(await project.alerts.resolve("a", "done")).toBe(hasChanged);
  expect(await project.alerts.replayNotification("n")).toBe(hasChanged);
  expect(project.sent).toEqual([
    ["POST", "rpc/acknowledge_alert", { id: "a" }],
    ["POST", "rpc/resolve_alert", { id: "a" }],
    ["POST", "rpc/resolve_alert", { id: "a", note: "done" }],
    ["POST", "rpc/replay_alert_notification", { id: "n" }],
  ]);
});

test("channels are tested, secrets rotated, rules evaluated and stale alerts resolved", async () => {
  const project = alertsOver(["n"], "whsec_x", [{ opened: 1, resolved: 2 }], 3);
  expect(await project.alerts.testChannel("c")).toEqual(["n"]);
  expect(await project.alerts.rotateChannelSecret("c")).toBe("whsec_x");
  expect(await project.alerts.evaluate(new Date(0))).toEqual({ opened: 1, resolved: 2 });
  expect(await project.alerts.autoResolveStale("P3D")).toBe(3);
  await project.alerts.autoResolveStale();
  expect(project.sent).toEqual([
    ["POST", "rpc/test_alert_channel", { channel_id: "c" }],
    ["POST", "rpc/rotate_channel_secret", { id: "c" }],
    ["POST", "rpc/evaluate_alert_rules", { at: "1970-01-01T00:00:00.000Z" }],
    ["POST", "rpc/auto_resolve_stale_alerts", { max_age: "P3D" }],
    ["POST", "rpc/auto_resolve_stale_alerts", {}],
  ]);
});

test("an answer of another shape is a typed error", async () => {
  const refusal = { code: "unexpected_answer" };
  await expect(alertsOver([{ ...rule, type: "odd" }]).alerts.listRules("t")).rejects.toMatchObject(refusal);
  const odd = { ...channel, type: "slack" };
  await expect(alertsOver([odd]).alerts.updateChannel("c", { name: "x" })).rejects.toMatchObject(refusal);
  await expect(alertsOver([alert("a"), alert("b")]).alerts.get("a")).rejects.toMatchObject(refusal);
});

test.each([
  [NewAlertRule, { name: "A", type: "cost_spike" }, true],
  [NewAlertRule, { name: "A", type: "cost_spike", threshold: null, channel_ids: ["c"] }, true],
  [NewAlertRule, { name: "A", type: "cost_spike", treshold: 3 }, false],
  [NewAlertRule, { name: "A", type: "odd" }, false],
  [NewAlertRule, { type: "cost_spike" }, false],
  [NewAlertChannel, { name: "A", type: "email", config: { recipients: ["a@example.com"] } }, true],
  [NewAlertChannel, { name: "A", type: "email", config: { recipients: [] } }, false],
  [NewAlertChannel, { name: "A", type: "email", config: { recipients: ["nobody"] } }, false],
  [NewAlertChannel, { name: "A", type: "slack", config: { webhook_url: "https://hooks.slack.com/x" } }, true],
  [NewAlertChannel, { name: "A", type: "slack", config: { url: "https://hooks.slack.com/x" } }, false],
  [NewAlertChannel, { name: "A", type: "webhook", config: { url: "https://example.com" } }, true],
  [NewAlertChannel, { name: "A", type: "webhook", config: { url: "x", secret: "whsec_x" } }, false],
  [NewAlertChannel, { name: "A", type: "pagerduty", config: { routing_key: "" } }, false],
  [NewAlertChannel, { name: "A", type: "console" }, true],
])("a form is checked %#", (schema, input, isGood) => {
  expect(schema.safeParse(input).success).toBe(isGood);
});
