import { expect, test } from "vitest";
import { AlertManager, type AlertManagerOptions } from "./alert_manager.ts";
import type { Alert } from "./alert_rows.ts";
import type { AlertManagerChannels } from "./alert_senders.ts";

const alertOf = (id: string, fields: Partial<Alert> = {}): Alert => ({
  id,
  tenant_id: "t",
  rule_id: "r",
  type: "payment_failed",
  severity: "critical",
  title: "Payment Failed",
  message: "Monthly subscription payment failed.",
  data: { attempts: 2 },
  action_required: true,
  dedup_key: "d",
  status: "open",
  occurrences: 1,
  opened_at: "2027-01-01T00:00:00+00:00",
  last_occurred_at: "2027-01-01T00:00:00+00:00",
  acknowledged_at: null,
  acknowledged_by: null,
  resolved_at: null,
  resolved_by: null,
  resolution_note: null,
  cleared_at: null,
  ...fields,
});

interface Got {
  url: string;
  headers: Record<string, string>;
  body: Record<string, unknown>;
}

/** A manager, and what the endpoints got; those that are `down` answer 503. */
function managerOf(channels: AlertManagerChannels, options: AlertManagerOptions = {}) {
  const got: Got[] = [];
  const down = new Set<string>();
  const printed: string[] = [];
  const fetch = async (url: RequestInfo | URL, init: RequestInit = {}) => {
    const { host } = new URL(String(url));
    if (down.has(host)) return new Response(null, { status: 503 });
    got.push({
      url: String(url),
      headers: init.headers as Record<string, string>,
      body: JSON.parse(String(init.body)) as Record<string, unknown>,
    });
    return new Response("ok");
  };
  const io = { fetch, sleep: async () => {}, print: (text: string) => void printed.push(text) };
  return { manager: new AlertManager(channels, { ...io, ...options }), got, down, printed };
}

const email = { apiKey: "key", fromEmail: "billing@example.com", to: "a@example.com" };
const slack = { webhookUrl: "https://hooks.slack.test/services/secret", channel: "#billing-alerts" };
const webhooks = ["https://one.test/alerts?token=secret", "https://two.test/"];

test("an alert goes to every channel, each in its own form", async () => {
  const { manager, got, printed } = managerOf({ email, slack, webhooks, console: true });
  const sent = { outcome: "sent", attempts: 1 };
  expect(await manager.handleAlert(alertOf("a"))).toEqual([
    { channel: "email", target: "a@example.com", ...sent },
    { channel: "slack", target: "hooks.slack.test", ...sent },
    { channel: "webhook", target: "one.test", ...sent },
    { channel: "webhook", target: "two.test", ...sent },
    { channel: "console", target: "console", ...sent },
  ]);
  const [mail, message, first, second] = got;
  expect(mail).toMatchObject({
    url: "https://api.resend.com/emails",
    headers: { authorization: "Bearer key", "idempotency-key": "a_open" },
    body: {
      from: "billing@example.com",
      to: ["a@example.com"],
      subject: "[CRITICAL] Payment Failed",
      text: expect.stringContaining("Monthly subscription payment failed."),
      html: expect.stringContaining("<h1"),
    },
  });
  expect(mail?.body).not.toHaveProperty("reply_to");
  expect(message).toMatchObject({ url: slack.webhookUrl, body: { channel: "#billing-alerts" } });
  expect(JSON.stringify(message?.body)).toContain("Payment Failed");
  expect([first?.url, second?.url]).toEqual(webhooks);
  expect(first).toMatchObject({
    headers: { "webhook-id": "a_open" },
    body: {
      type: "alert.opened",
      timestamp: "2027-01-01T00:00:00+00:00",
      data: { id: "a", severity: "critical", action_required: true, data: { attempts: 2 } },
    },
  });
  expect(first?.body.data).not.toHaveProperty("resolved_by");
  expect(printed).toEqual([expect.stringMatching(/^\[CRITICAL\] Payment Failed\n(.|\n)*payment failed/)]);
});

test("mail goes where and as it is told to", async () => {
  const options = { ...email, to: ["a@example.com", "b@example.com"], replyTo: "support@example.com" };
  const { manager, got } = managerOf({ email: { ...options, apiUrl: "https://mail.test/send" } });
  expect(await manager.handleAlert(alertOf("a"))).toMatchObject([{ target: "a@example.com, b@example.com" }]);
  expect(got).toMatchObject([
    { url: "https://mail.test/send", body: { to: options.to, reply_to: "support@example.com" } },
  ]);
});

test("without channels nothing is sent", async () => {
  const { manager, got, printed } = managerOf({});
  expect(await manager.handleAlert(alertOf("a"))).toEqual([]);
  expect([...got, ...printed]).toEqual([]);
});

test("an alert is sent once in each status, at the time that it got it", async () => {
  const { manager, got } = managerOf({ webhooks: ["https://one.test"] });
  const open = alertOf("a");
  const acknowledged = alertOf("a", { status: "acknowledged", acknowledged_at: "2027-01-02T00:00:00Z" });
  const resolved = alertOf("a", { status: "resolved", resolved_at: "2027-01-03T00:00:00Z" });
  for (const alert of [open, open, acknowledged, resolved, open, resolved]) await manager.handleAlert(alert);
  expect(got.map(({ body: { type, timestamp } }) => [type, timestamp])).toEqual([
    ["alert.opened", "2027-01-01T00:00:00+00:00"],
    ["alert.acknowledged", "2027-01-02T00:00:00Z"],
    ["alert.resolved", "2027-01-03T00:00:00Z"],
  ]);
  expect(await manager.handleAlert(open)).toEqual([
    { channel: "webhook", target: "one.test", outcome: "duplicate", attempts: 0 },
  ]);
});

test("handed twice at once, it is sent once", async () => {
  const { manager, got } = managerOf({ webhooks: ["https://one.test"] });
  const both = await Promise.all([manager.handleAlert(alertOf("a")), manager.handleAlert(alertOf("a"))]);
  expect(both.flat().map(({ outcome }) => outcome)).toEqual(["sent", "duplicate"]);
  expect(got).toHaveLength(1);
});

test("a channel that fails stops no other, and is tried anew when the alert is handed anew", async () => {
  const { manager, got, down } = managerOf({ slack, webhooks });
  down.add("one.test");
  expect(await manager.handleAlert(alertOf("a"))).toEqual([
    { channel: "slack", target: "hooks.slack.test", outcome: "sent", attempts: 1 },
    { channel: "webhook", target: "one.test", outcome: "failed", attempts: 3, error: "HTTP 503" },
    { channel: "webhook", target: "two.test", outcome: "sent", attempts: 1 },
  ]);
  down.clear();
  expect((await manager.handleAlert(alertOf("a"))).map(({ outcome }) => outcome)).toEqual([
    "duplicate",
    "sent",
    "duplicate",
  ]);
  expect(got).toHaveLength(3);
});

test("one that waits for the same failure fails with it", async () => {
  const { manager, down } = managerOf({ webhooks: ["https://one.test"] });
  down.add("one.test");
  const both = await Promise.all([manager.handleAlert(alertOf("a")), manager.handleAlert(alertOf("a"))]);
  expect(both.flat().map(({ outcome }) => outcome)).toEqual(["failed", "failed"]);
});

test("a channel gets one alert after the other, while the others go on", async () => {
  const order: string[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const fetch = async (url: RequestInfo | URL, init: RequestInit = {}) => {
    const { host } = new URL(String(url));
    const { data } = JSON.parse(String(init.body)) as { data: Alert };
    if (host === "one.test" && data.id === "a") await gate;
    order.push(`${host} ${data.id}`);
    return new Response(null);
  };
  const { manager } = managerOf({ webhooks }, { fetch });
  const both = [manager.handleAlert(alertOf("a")), manager.handleAlert(alertOf("b"))];
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(["two.test a", "two.test b"]);
  open();
  await Promise.all(both);
  expect(order.slice(2)).toEqual(["one.test a", "one.test b"]);
});

test("as many alerts are remembered as it is told to", async () => {
  const { manager, got } = managerOf({ webhooks: ["https://one.test"] }, { maxRemembered: 2 });
  for (const id of ["a", "b", "c", "b", "c", "a"]) await manager.handleAlert(alertOf(id));
  expect(got.map(({ body }) => (body.data as Alert).id)).toEqual(["a", "b", "c", "a"]);
});

test("an alert that cannot be told, or a console that cannot be written to, is a failure too", async () => {
  const print = () => {
    throw new Error("closed");
  };
  const { manager } = managerOf({ webhooks: ["https://one.test"], console: true }, { print });
  const odd = alertOf("a", { severity: "odd" as never });
  const failed = { outcome: "failed", attempts: 0 };
  expect(await manager.handleAlert(odd)).toMatchObject([failed, failed]);
  expect(await manager.handleAlert(alertOf("b"))).toMatchObject([
    { outcome: "sent" },
    { ...failed, error: expect.stringContaining("closed") },
  ]);
});

test.each([{ slack: { webhookUrl: "hooks" } }, { webhooks: ["x"] }, { email: { ...email, apiUrl: "x" } }])(
  "an address that is none is refused at once: %j",
  (channels) => {
    expect(() => new AlertManager(channels)).toThrow(TypeError);
  },
);
