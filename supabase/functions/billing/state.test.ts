import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import { PRICES, send, TENANT } from "./testing.ts";

const get = { method: "GET" };
const named = `?tenant_id=${TENANT}`;

Deno.test("the plans are for everybody, and may be kept for five minutes", async () => {
  const { response, calls } = await send("/plans", {
    ...get,
    headers: { authorization: "" },
    database: { price_list: PRICES },
    isConfigured: false,
  });
  assert.deepEqual(calls, [{ as: "nobody", name: "price_list", args: { order: "sort_order" } }]);
  assert.equal(response.headers.get("cache-control"), "public, max-age=300");
  const plans = await response.json();
  assert.deepEqual(
    plans.map(({ id }: { id: string }) => id),
    ["startup_monthly", "startup_annual", "enterprise_monthly"],
  );
  assert.deepEqual(plans[1], {
    id: "startup_annual",
    name: "startup_annual",
    priceId: "price_startup_annual",
    creditsPerMonth: 300,
    planId: "startup",
    interval: "year",
    unitAmount: 49900,
    currency: "usd",
    discountPercent: 15.1,
  });
  assert.deepEqual([plans[2].priceId, plans[2].discountPercent], [null, null]);
});

const state = {
  tenant_id: TENANT,
  plan_id: "startup",
  price_id: "startup_monthly",
  status: "past_due",
  current_period_start: "2026-02-15T00:00:00+00:00",
  current_period_end: "2026-03-15T01:00:00.123456+01:00",
  cancel_at_period_end: true,
  trial_ends_at: null,
  grace_ends_at: "2026-03-08T00:00:00+00:00",
  stripe_subscription_id: "sub_1",
  plan_details: { name: "Startup" },
};

Deno.test("the subscription, its times in UTC", async () => {
  const { response, calls } = await send(`/current${named}`, {
    ...get,
    database: { get_subscription: [state] },
    isConfigured: false,
  });
  assert.deepEqual(await response.json(), {
    plan: "startup_monthly",
    status: "past_due",
    currentPeriodStart: "2026-02-15T00:00:00.000Z",
    currentPeriodEnd: "2026-03-15T00:00:00.123Z",
    cancelAtPeriodEnd: true,
    trialEndsAt: null,
    graceEndsAt: "2026-03-08T00:00:00.000Z",
    plan_details: { name: "Startup" },
  });
  assert.deepEqual(calls, [{ as: "user-token", name: "get_subscription", args: { tenant_id: TENANT } }]);
});

Deno.test("without a subscription the plan is the tenant's", async () => {
  const none = { price_id: null, status: "none", current_period_start: null, current_period_end: null };
  const free = { ...state, ...none, plan_id: "free" };
  const { response } = await send(`/current${named}`, { ...get, database: { get_subscription: [free] } });
  const body = await response.json();
  assert.deepEqual([body.plan, body.status, body.currentPeriodEnd], ["free", "none", null]);
});

Deno.test("the usage is what the quotas say", async () => {
  const { response, calls } = await send(`/usage${named}`, {
    ...get,
    database: { get_quota_status: [{ metric: "tokens", used: 5 }] },
    isConfigured: false,
  });
  assert.deepEqual(await response.json(), { tenant_id: TENANT, usage: [{ metric: "tokens", used: 5 }] });
  assert.deepEqual(calls, [{ as: "user-token", name: "get_quota_status", args: { tenant_id: TENANT } }]);
});

Deno.test("the invoices, newest first", async () => {
  const { response, calls } = await send(`/invoices${named}`, {
    ...get,
    database: { get_invoices: [{ stripe_invoice_id: "in_1" }] },
  });
  assert.deepEqual(await response.json(), { invoices: [{ stripe_invoice_id: "in_1" }] });
  assert.deepEqual(calls, [{ as: "user-token", name: "get_invoices", args: { tenant_id: TENANT } }]);
});

for (const [path, name] of [
  ["/current", "get_subscription"],
  ["/usage", "get_quota_status"],
  ["/invoices", "get_invoices"],
] as const) {
  Deno.test(`${path}: whoever may not gets a 403`, async () => {
    const refusal = new ApiError(403, "permission_denied", "No.");
    const { response } = await send(`${path}${named}`, { ...get, database: { [name]: refusal } });
    assert.deepEqual([response.status, (await response.json()).error.code], [403, "permission_denied"]);
  });
}
