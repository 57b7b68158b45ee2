import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import {
  account,
  assertError,
  assertRefused,
  PRICES,
  SECONDS,
  type Setting,
  type StripeRequest,
  send,
  stripeError,
  subscription,
  TENANT,
} from "./testing.ts";

const RETRIEVE = "GET /subscriptions/sub_1";
const UPDATE = "POST /subscriptions/sub_1";
const change = (path: string, { body = {}, database = {}, stripe = {}, ...setting }: Setting = {}) =>
  send(`${path}?tenant_id=${TENANT}`, {
    body,
    database: { get_billing_account: account(), ...database },
    stripe: { [RETRIEVE]: subscription(), [UPDATE]: subscription(), ...stripe },
    ...setting,
  });
const PERIOD_END = "2026-03-02T12:00:00.000Z";
const STATE = {
  subscriptionId: "sub_1",
  status: "active",
  cancelAtPeriodEnd: false,
  currentPeriodEnd: PERIOD_END,
};

for (const body of [undefined, {}, { atPeriodEnd: true }]) {
  Deno.test(`cancelled with ${JSON.stringify(body)}, it runs to the end of its period`, async () => {
    const { response, requests } = await change("/cancel", {
      body,
      stripe: { [UPDATE]: subscription({ cancel_at_period_end: true }) },
    });
    assert.deepEqual([response.status, await response.json()], [200, { ...STATE, cancelAtPeriodEnd: true }]);
    assert.deepEqual(
      requests.map(({ route, params }) => [route, params]),
      [[UPDATE, { cancel_at_period_end: "true" }]],
    );
  });
}

Deno.test("cancelled at once, it is over", async () => {
  const { response, requests } = await change("/cancel", {
    body: { atPeriodEnd: false },
    stripe: { "DELETE /subscriptions/sub_1": subscription({ status: "canceled" }) },
  });
  assert.deepEqual([response.status, (await response.json()).status], [200, "canceled"]);
  assert.deepEqual(
    requests.map(({ route }) => route),
    ["DELETE /subscriptions/sub_1"],
  );
});

for (const atPeriodEnd of ["false", 0, null]) {
  Deno.test(`an atPeriodEnd of ${JSON.stringify(atPeriodEnd)} is a 400`, async () => {
    await assertRefused(await change("/cancel", { body: { atPeriodEnd } }), 400, "invalid_request");
  });
}

const CANCELLED = { cancel_at: SECONDS + 86_400, cancel_at_period_end: true };
const CANCELLED_BY_DATE = { cancel_at: SECONDS + 86_400 };

for (const [what, now, taken] of [
  ["cancelled by the flag", CANCELLED, { cancel_at_period_end: "false" }],
  ["cancelled by a date, as Stripe's portal does", CANCELLED_BY_DATE, { cancel_at: "" }],
  ["not cancelled", {}, { cancel_at_period_end: "false" }],
] as const) {
  Deno.test(`resumed, what is ${what} goes on`, async () => {
    const { response, requests } = await change("/resume", { stripe: { [RETRIEVE]: subscription(now) } });
    assert.deepEqual([response.status, await response.json()], [200, STATE]);
    assert.deepEqual(
      requests.map(({ route, params }) => [route, params]),
      [
        [RETRIEVE, {}],
        [UPDATE, taken],
      ],
    );
  });
}

Deno.test("what cannot be read is not resumed", async () => {
  const broken = stripeError(500, { type: "api_error", message: "Oops." });
  const sent = await change("/resume", { stripe: { [RETRIEVE]: broken } });
  await assertError(sent, 503, "stripe_unavailable");
  assert.deepEqual(
    sent.requests.map(({ route }) => route),
    [RETRIEVE],
  );
});

Deno.test("a subscription without items has no period", async () => {
  const stripe = { [UPDATE]: subscription({ items: { object: "list", data: [] } }) };
  assert.equal((await (await change("/resume", { stripe })).response.json()).currentPeriodEnd, null);
});

for (const path of ["/cancel", "/resume"]) {
  Deno.test(`${path}: 409 without a subscription`, async () => {
    const database = { get_billing_account: account({ stripe_subscription_id: null }) };
    await assertRefused(await change(path, { database }), 409, "no_subscription");
  });

  Deno.test(`${path}: 403 for whoever may not`, async () => {
    const database = { get_billing_account: new ApiError(403, "permission_denied", "No.") };
    await assertRefused(await change(path, { database }), 403, "permission_denied");
  });
}

// Change of plan -------------------------------------------------------------------------------------------------

const target = (price_id: string) => [
  {
    tenant_id: TENANT,
    stripe_subscription_id: "sub_1",
    stripe_item_id: "si_1",
    price_id,
    stripe_price_id: `price_${price_id}`,
  },
];
const changePlan = (newPlanId: string, { body = {}, database = {}, ...setting }: Setting = {}) =>
  change("/change-plan", {
    body: { newPlanId, ...(body as object) },
    database: { check_plan_change: target(newPlanId), price_list: PRICES, ...database },
    ...setting,
  });

Deno.test("an upgrade is invoiced at once, and waits for its payment", async () => {
  const { response, calls, requests } = await changePlan("enterprise_monthly", {
    headers: { "idempotency-key": "x" },
  });
  assert.deepEqual(
    [response.status, await response.json()],
    [200, { ...STATE, planId: "enterprise_monthly", isPending: false, clientSecret: null }],
  );
  assert.deepEqual(calls[0], {
    as: "user-token",
    name: "check_plan_change",
    args: { tenant_id: TENANT, price_id: "enterprise_monthly" },
  });
  assert.deepEqual(requests[0]?.params, {
    "items[0][id]": "si_1",
    "items[0][price]": "price_enterprise_monthly",
    proration_behavior: "always_invoice",
    payment_behavior: "pending_if_incomplete",
    "expand[0]": "latest_invoice.confirmation_secret",
  });
  assert.match(requests[0]?.idempotencyKey ?? "", /^meterbase:[0-9a-f-]{36}:change-plan:[0-9a-f]{64}$/);
  assert.equal(requests.length, 1);
});

Deno.test("one that is not paid yet is pending, with the secret that pays it", async () => {
  const stripe = {
    [UPDATE]: subscription({
      pending_update: { expires_at: 0 },
      latest_invoice: { id: "in_1", confirmation_secret: { client_secret: "pi_1_secret" } },
    }),
  };
  const body = await (await changePlan("enterprise_monthly", { stripe })).response.json();
  assert.deepEqual([body.isPending, body.clientSecret], [true, "pi_1_secret"]);
});

Deno.test("one that is paid has no secret to give", async () => {
  const latest_invoice = { id: "in_1", confirmation_secret: { client_secret: "pi_1_secret" } };
  const stripe = { [UPDATE]: subscription({ latest_invoice }) };
  assert.equal(
    (await (await changePlan("enterprise_monthly", { stripe })).response.json()).clientSecret,
    null,
  );
});

const cancelled = { get_billing_account: account({ cancel_at_period_end: true }) };

for (const [what, now, taken] of [
  ["by the flag", CANCELLED, { cancel_at_period_end: "false" }],
  ["by a date", CANCELLED_BY_DATE, { cancel_at: "" }],
] as const) {
  Deno.test(`who chooses a plan while the subscription is cancelled ${what} means to go on`, async () => {
    const { response, requests } = await changePlan("startup_monthly", {
      database: cancelled,
      headers: { "idempotency-key": "x" },
      stripe: {
        [RETRIEVE]: subscription(now),
        [UPDATE]: ({ params }: StripeRequest) =>
          subscription(params.payment_behavior === undefined ? {} : now),
      },
    });
    assert.deepEqual(
      requests.map(({ route }) => route),
      [UPDATE, RETRIEVE, UPDATE],
    );
    const [changed, , resumed] = requests;
    // Stripe refuses either beside a change that may have to wait for its payment.
    assert.equal(changed?.params.payment_behavior, "pending_if_incomplete");
    assert.deepEqual(
      Object.keys(changed?.params ?? {}).filter((name) => name.startsWith("cancel_at")),
      [],
    );
    assert.deepEqual(resumed?.params, taken);
    // Not that of the change, which was another request.
    assert.equal(resumed?.idempotencyKey, "of the library");
    // As it is after both.
    assert.deepEqual(
      [response.status, await response.json()],
      [200, { ...STATE, planId: "startup_monthly", isPending: false, clientSecret: null }],
    );
  });
}

Deno.test("while the change waits for its payment the cancellation stays", async () => {
  const pending = subscription({
    ...CANCELLED,
    pending_update: { expires_at: 0 },
    latest_invoice: { id: "in_1", confirmation_secret: { client_secret: "pi_1_secret" } },
  });
  const sent = await changePlan("enterprise_monthly", { database: cancelled, stripe: { [UPDATE]: pending } });
  assert.deepEqual(
    sent.requests.map(({ route }) => route),
    [UPDATE],
  );
  const body = await sent.response.json();
  assert.deepEqual([body.isPending, body.clientSecret, body.cancelAtPeriodEnd], [true, "pi_1_secret", true]);
});

for (const prorationBehavior of ["create_prorations", "none"]) {
  for (const [what, from, to] of [
    ["a lesser plan", "enterprise_monthly", "startup_monthly"],
    ["another price of the plan", "startup_monthly", "startup_annual"],
  ] as const) {
    Deno.test(`${prorationBehavior} is possible for ${what}`, async () => {
      const database = { get_billing_account: account({ price_id: from }) };
      const { response, requests } = await changePlan(to, { body: { prorationBehavior }, database });
      assert.deepEqual([response.status, requests[0]?.params.proration_behavior], [200, prorationBehavior]);
    });
  }

  for (const [what, from, to] of [
    ["a greater plan", "startup_annual", "enterprise_monthly"],
    ["whoever has a price that is sold no more", "vintage_monthly", "startup_monthly"],
    ["a price that is sold no more", "startup_monthly", "vintage_monthly"],
  ] as const) {
    Deno.test(`${prorationBehavior} is not for ${what}: limits would rise unpaid`, async () => {
      const database = { get_billing_account: account({ price_id: from }) };
      const sent = await changePlan(to, { body: { prorationBehavior }, database });
      await assertRefused(sent, 409, "upgrade_must_be_paid");
    });
  }
}

for (const [what, body] of [
  ["no plan", { newPlanId: undefined }],
  ["an empty plan", { newPlanId: "" }],
  ["a proration that there is not", { prorationBehavior: "free" }],
] as const) {
  Deno.test(`${what} is a 400, and nothing is asked`, async () => {
    const sent = await changePlan("enterprise_monthly", { body });
    await assertRefused(sent, 400, "invalid_request");
    assert.deepEqual(sent.calls, []);
  });
}

for (const [status, code] of [
  [403, "permission_denied"],
  [404, "price_not_found"],
  [409, "no_subscription"],
  [409, "price_not_for_sale"],
  [409, "price_unchanged"],
] as const) {
  Deno.test(`${code} stays a ${status}, and Stripe hears nothing`, async () => {
    const database = { check_plan_change: new ApiError(status, code, "No.") };
    await assertRefused(await changePlan("enterprise_monthly", { database }), status, code);
  });
}

Deno.test("a subscription that Stripe does not know is a 409", async () => {
  const gone = { type: "invalid_request_error", code: "resource_missing", message: "No such subscription." };
  const sent = await changePlan("enterprise_monthly", { stripe: { [UPDATE]: stripeError(404, gone) } });
  await assertError(sent, 409, "stripe_object_missing");
});
