import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import { account, assertError, assertRefused, type Sent, send, subscription, TENANT } from "./testing.ts";

const ORDERS = ["/checkout", "/create", "/portal", "/cancel", "/resume", "/change-plan"];
const OTHER = "018f0000-0000-7000-8000-000000000002";
const UPDATE = "POST /subscriptions/sub_1";
const resume = {
  database: { get_billing_account: account() },
  stripe: { "GET /subscriptions/sub_1": subscription(), [UPDATE]: subscription() },
};
const updateOf = ({ requests }: Sent) => requests.find(({ route }) => route === UPDATE);

for (const path of ORDERS) {
  Deno.test(`${path}: 401 without a credential`, async () => {
    await assertRefused(await send(path, { headers: { authorization: "" } }), 401, "unauthorized");
  });

  Deno.test(`${path}: 503 without a key of Stripe`, async () => {
    const sent = await send(path, { isConfigured: false });
    await assertRefused(sent, 503, "stripe_not_configured");
    assert.deepEqual(sent.calls, []);
  });

  Deno.test(`${path}: 405 for another method`, async () => {
    await assertRefused(await send(path, { method: "GET" }), 405, "method_not_allowed");
  });

  for (const [what, body, code] of [
    ["no JSON", "{", "invalid_json"],
    ["no object", "[]", "invalid_request"],
    ["another field", { at_period_end: false, planId: "x", newPlanId: "x" }, "invalid_request"],
    ["a tenant that is no UUID", { tenant_id: "mine", planId: "x", newPlanId: "x" }, "invalid_request"],
  ] as const) {
    Deno.test(`${path}: a body with ${what} is a 400, and nothing is asked`, async () => {
      const sent = await send(path, { body });
      await assertRefused(sent, 400, code);
      assert.deepEqual(sent.calls, []);
    });
  }

  for (const [what, key] of [
    ["empty", ""],
    ["too long", "k".repeat(256)],
  ] as const) {
    Deno.test(`${path}: an idempotency key that is ${what} is a 400`, async () => {
      const body = { ...(path === "/change-plan" && { newPlanId: "x" }) };
      const sent = await send(path, { body, headers: { "idempotency-key": key } });
      await assertRefused(sent, 400, "invalid_idempotency_key");
    });
  }
}

for (const path of ["/current", "/usage", "/invoices"]) {
  Deno.test(`${path}: 401 without a credential, 405 for another method`, async () => {
    await assertRefused(
      await send(path, { method: "GET", headers: { authorization: "" } }),
      401,
      "unauthorized",
    );
    await assertRefused(await send(path), 405, "method_not_allowed");
  });
}

Deno.test("what is not there is a 404", async () => {
  await assertRefused(await send("/nothing"), 404, "not_found");
  await assertRefused(await send("/"), 404, "not_found");
});

// The tenant -----------------------------------------------------------------------------------------------------

for (const [what, path, setting, tenant] of [
  ["of the body", "/resume", { body: { tenant_id: OTHER } }, OTHER],
  ["of the query", `/resume?tenant_id=${OTHER}`, {}, OTHER],
  [
    "of the body before that of the query",
    `/resume?tenant_id=${TENANT}`,
    { body: { tenant_id: OTHER } },
    OTHER,
  ],
  ["of the API key", "/resume", { headers: { authorization: "Bearer api-key" } }, TENANT],
] as const) {
  Deno.test(`the tenant is that ${what}`, async () => {
    const { response, calls } = await send(path, { ...resume, ...setting });
    assert.equal(response.status, 200);
    assert.deepEqual(
      calls.map(({ args }) => args.tenant_id),
      [tenant],
    );
  });
}

Deno.test("an API key that names another tenant is refused by the database", async () => {
  const sent = await send("/resume", {
    body: { tenant_id: OTHER },
    headers: { authorization: "Bearer api-key" },
    database: { get_billing_account: new ApiError(403, "permission_denied", "Not yours.") },
  });
  await assertRefused(sent, 403, "permission_denied");
  assert.deepEqual(sent.calls, [{ as: "api-key", name: "get_billing_account", args: { tenant_id: OTHER } }]);
});

Deno.test("whoever has one tenant need not name it, whoever has several must", async () => {
  const one = { ...resume.database, get_rate_limit_usage: [{ tenant_id: OTHER }] };
  const { calls } = await send("/resume", { ...resume, database: one });
  assert.equal(calls.at(-1)?.args.tenant_id, OTHER);
  const get_rate_limit_usage = [{ tenant_id: OTHER }, { tenant_id: TENANT }];
  await assertRefused(await send("/resume", { database: { get_rate_limit_usage } }), 400, "tenant_required");
});

// Idempotency ----------------------------------------------------------------------------------------------------

Deno.test("the caller's key is bound to tenant and route, and hidden", async () => {
  const headers = { "idempotency-key": "x" };
  const sent = await send(`/resume?tenant_id=${TENANT}`, { ...resume, headers });
  const hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  assert.equal(updateOf(sent)?.idempotencyKey, `meterbase:${TENANT}:resume:${hash}`);
});

Deno.test("without one the library makes its own", async () => {
  const sent = await send(`/resume?tenant_id=${TENANT}`, resume);
  assert.equal(updateOf(sent)?.idempotencyKey, "of the library");
});

// Failures of Stripe ---------------------------------------------------------------------------------------------

Deno.test("a failure of Stripe has its own code", async () => {
  const failing = (error: unknown) =>
    send(`/resume?tenant_id=${TENANT}`, { ...resume, stripe: { ...resume.stripe, [UPDATE]: error } });
  const declined = { type: "card_error", code: "card_declined", message: "Your card was declined." };
  await assertError(
    await failing(Response.json({ error: declined }, { status: 402 })),
    402,
    "payment_failed",
  );
});

Deno.test("a browser may send a key that makes an order safe to repeat", async () => {
  const { response } = await send("/checkout", { method: "OPTIONS" });
  assert.match(response.headers.get("access-control-allow-headers") ?? "", /\bidempotency-key\b/);
});
