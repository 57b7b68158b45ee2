import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { Billing } from "./billing.ts";
import type { Database } from "./database.types.ts";

interface Sent {
  method: string;
  path: string;
  body: unknown;
  key: string | null;
}

/** Billing over a project that answers as told, and what was asked of it. */
function billingOver(answer: unknown, init: ResponseInit = {}) {
  const sent: Sent[] = [];
  const project = async (input: RequestInfo | URL, options: RequestInit = {}) => {
    const { pathname, searchParams } = new URL(String(input));
    const body = options.body && JSON.parse(String(options.body));
    const key = new Headers(options.headers).get("idempotency-key");
    sent.push({
      method: options.method ?? "GET",
      path: [pathname.replace(/^\/(rest|functions)\/v1\//, ""), ...[...searchParams].flat()].join(" "),
      body,
      key,
    });
    if (answer instanceof Error) throw answer;
    return typeof answer === "string" ? new Response(answer, init) : Response.json(answer, init);
  };
  const client = createClient<Database>("http://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: project },
    realtime: { transport: class {} as unknown as typeof WebSocket },
  });
  return { billing: new Billing(client), sent };
}

const refused = (status: number, error: object) => billingOver({ error }, { status }).billing;

const price = {
  price_id: "startup_annual",
  plan_id: "startup",
  name: "Startup Audit - Annual",
  interval: "year",
  unit_amount: 49_900,
  currency: "usd",
  credits_per_month: 350,
  stripe_price_id: null,
  discount_percent: 15.1,
  sort_order: 3,
};
const state = {
  tenant_id: "t",
  plan_id: "free",
  price_id: null,
  status: "none",
  current_period_start: null,
  current_period_end: null,
  cancel_at_period_end: false,
  trial_ends_at: null,
  grace_ends_at: null,
  stripe_subscription_id: null,
  plan_details: { plan_id: "free", name: "Free", description: "", price: null, limits: [] },
};
const changed = {
  subscriptionId: "sub_1",
  status: "active",
  cancelAtPeriodEnd: true,
  currentPeriodEnd: "2027-02-01T00:00:00.000Z",
};
const changedPlan = { ...changed, planId: "pro", isPending: true, clientSecret: "pi_secret" };
const PRORATIONS = ["always_invoice", "create_prorations", "none"] as const;
const checkout = { id: "cs_1", url: "https://pay", expiresAt: "2027-01-02T00:00:00.000Z" };
const kpis = {
  webhooks_received: 0,
  webhooks_failed: 0,
  webhook_success_rate: null,
  checkout_clicks: 0,
  checkout_sessions: 0,
  checkouts_completed: 0,
  checkout_conversion: null,
  upgrades: 0,
  upgrade_latency_p50_seconds: null,
  upgrade_latency_p95_seconds: null,
  upgrade_latency_p99_seconds: null,
};

test.each<[string, unknown, (billing: Billing) => Promise<unknown>, string]>([
  [
    "plans",
    [price],
    (billing) => billing.plans(),
    "price_list select * order sort_order.asc,unit_amount.asc,price_id.asc offset 0 limit 1000",
  ],
  ["current", [state], (billing) => billing.current("t"), "rpc/get_subscription tenant_id t"],
  ["invoices", [], (billing) => billing.invoices("t"), "rpc/get_invoices tenant_id t"],
  [
    "a page of invoices",
    [],
    (billing) => billing.invoices("t", { limit: 2, before: new Date(0) }),
    "rpc/get_invoices tenant_id t max_rows 2 before_ts 1970-01-01T00:00:00.000Z",
  ],
  [
    "payments",
    [],
    (billing) => billing.payments("t", { limit: 2, offset: 4 }),
    "payments select * tenant_id eq.t order occurred_at.desc,stripe_invoice_id.asc,attempt.desc,status.asc offset 4 limit 2",
  ],
  [
    "events",
    [],
    (billing) => billing.events(),
    "stripe_events select * order received_at.desc,id.asc offset 0 limit 50",
  ],
  [
    "failed events",
    [],
    (billing) => billing.events({ status: "failed", limit: 3, offset: 6 }),
    "stripe_events select * status eq.failed order received_at.desc,id.asc offset 6 limit 3",
  ],
  [
    "kpis",
    [kpis],
    (billing) => billing.kpis(new Date(0), "2027-01-01"),
    "rpc/get_billing_kpis from_ts 1970-01-01T00:00:00.000Z to_ts 2027-01-01",
  ],
  ["webhook counts", [], (billing) => billing.webhookCounts(), "rpc/get_webhook_counts"],
])("%s are read, and nothing is changed by it", async (_, answer, ask, path) => {
  const { billing, sent } = billingOver(answer);
  const read = await ask(billing);
  expect(Array.isArray(read) ? read : [read]).toEqual(answer);
  expect(sent).toEqual([{ method: "GET", path, body: undefined, key: null }]);
});

type Order = [
  name: string,
  answer: unknown,
  order: (billing: Billing) => Promise<unknown>,
  expected: Omit<Sent, "method">,
];
const cancels = [{}, { atPeriodEnd: true }, { atPeriodEnd: false }].map(
  (options): Order => [
    `cancel ${JSON.stringify(options)}`,
    changed,
    (billing) => billing.cancel("t", { ...options, idempotencyKey: "k" }),
    { path: "billing/cancel", body: { tenant_id: "t", ...options }, key: "k" },
  ],
);
const changes = [{}, ...PRORATIONS.map((prorationBehavior) => ({ prorationBehavior }))].map(
  (options): Order => [
    `change of plan ${JSON.stringify(options)}`,
    changedPlan,
    (billing) => billing.changePlan("t", "pro", { ...options, idempotencyKey: "k" }),
    { path: "billing/change-plan", body: { tenant_id: "t", newPlanId: "pro", ...options }, key: "k" },
  ],
);

test.each<Order>([
  [
    "checkout",
    checkout,
    (billing) => billing.checkout("t", "pro", { successUrl: "s", cancelUrl: "c", idempotencyKey: "k 1" }),
    {
      path: "billing/checkout",
      body: { tenant_id: "t", planId: "pro", successUrl: "s", cancelUrl: "c" },
      key: "k 1",
    },
  ],
  [
    "checkout without options",
    checkout,
    (billing) => billing.checkout("t", "pro"),
    { path: "billing/checkout", body: { tenant_id: "t", planId: "pro" }, key: null },
  ],
  [
    "portal",
    { url: "https://portal" },
    (billing) => billing.portal("t", { returnUrl: "r" }),
    { path: "billing/portal", body: { tenant_id: "t", returnUrl: "r" }, key: null },
  ],
  [
    "subscribe",
    { subscriptionId: "sub_1", status: "incomplete", clientSecret: null },
    (billing) => billing.subscribe("t", "pro", { idempotencyKey: "k" }),
    { path: "billing/create", body: { tenant_id: "t", planId: "pro" }, key: "k" },
  ],
  [
    "resume",
    { ...changed, currentPeriodEnd: null },
    (billing) => billing.resume("t", { idempotencyKey: "k" }),
    { path: "billing/resume", body: { tenant_id: "t" }, key: "k" },
  ],
  ...cancels,
  ...changes,
])("%s is posted as the function reads it", async (_, answer, order, expected) => {
  const { billing, sent } = billingOver(answer);
  expect(await order(billing)).toEqual(answer);
  expect(sent).toEqual([{ method: "POST", ...expected }]);
});

test("operators' writes name what they change, null included", async () => {
  const applied = {
    event_id: "evt",
    type: "x",
    status: "stale",
    tenant_id: null,
    plan_id: null,
    previous_plan_id: null,
    is_upgrade: false,
    error: null,
  };
  const replay = billingOver([applied]);
  expect(await replay.billing.replay("evt")).toEqual(applied);
  expect(replay.sent).toMatchObject([
    { method: "POST", path: "rpc/replay_stripe_event", body: { event_id: "evt" } },
  ]);

  const { price_id, name, discount_percent, sort_order, ...kept } = price;
  const row = { ...kept, id: price_id, product: "Startup Audit" };
  const set = billingOver(row);
  expect(await set.billing.setStripePrice("startup_annual", null)).toEqual(row);
  expect(set.sent).toMatchObject([
    {
      method: "POST",
      path: "rpc/set_stripe_price",
      body: { price_id: "startup_annual", stripe_price_id: null },
    },
  ]);
});

test.each([
  [400, "redirect_not_allowed", "InvalidRequestError"],
  [401, "unauthorized", "PermissionError"],
  [402, "payment_failed", "MeterbaseError"],
  [403, "permission_denied", "PermissionError"],
  [404, "price_not_found", "NotFoundError"],
  [409, "already_subscribed", "ConflictError"],
  [429, "too_many_checkouts", "QuotaExceededError"],
  [502, "stripe_refused", "UnavailableError"],
  [503, "stripe_unavailable", "UnavailableError"],
])("a function's refusal %i %s is a %s", async (status, code, name) => {
  const error = { code, message: "Not so.", hint: "Why" };
  await expect(refused(status, error).checkout("t", "pro")).rejects.toMatchObject({
    name,
    code,
    status,
    message: "Not so.",
    hint: "Why",
  });
});

test.each([
  [
    "a page of a gateway",
    billingOver("<html>", { status: 502 }).billing,
    { code: "unavailable", status: 502 },
  ],
  [
    "JSON of a gateway",
    billingOver({ msg: "no" }, { status: 404 }).billing,
    { code: "unknown", status: 404 },
  ],
  ["no connection", billingOver(new TypeError("fetch failed")).billing, { code: "unavailable", status: 0 }],
  [
    "half an answer",
    billingOver('{"id', { headers: { "content-type": "application/json" } }).billing,
    { code: "unavailable", status: 0 },
  ],
  [
    "another answer",
    billingOver({ url: 1 }, { status: 201 }).billing,
    { code: "unexpected_answer", status: 201 },
  ],
])("%s instead of the function's answer is a typed error", async (_, billing, expected) => {
  await expect(billing.portal("t")).rejects.toMatchObject({ ...expected, cause: expect.anything() });
});

test.each(["", " k", "k ", "ключ", "a\nb", "é"])(
  "the key %j, which no header carries, is refused unsent",
  async (key) => {
    const { billing, sent } = billingOver(changed);
    await expect(billing.cancel("t", { idempotencyKey: key })).rejects.toMatchObject({
      name: "InvalidRequestError",
      code: "invalid_idempotency_key",
    });
    expect(sent).toEqual([]);
  },
);

test("an amount that is not exact is no amount", async () => {
  const { billing } = billingOver([{ ...price, unit_amount: 2 ** 53 }]);
  await expect(billing.plans()).rejects.toMatchObject({ code: "unexpected_answer" });
});
