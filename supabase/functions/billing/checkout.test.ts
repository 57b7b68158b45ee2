import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import {
  account,
  assertError,
  assertRefused,
  SECONDS,
  type Sent,
  type Setting,
  send,
  stripeError,
  subscription,
  TENANT,
} from "./testing.ts";

const CHECKOUT = "018f0000-0000-7000-8000-00000000000c";
const click = (changes = {}) => [
  {
    checkout_id: CHECKOUT,
    tenant_id: TENANT,
    tenant_name: "Acme",
    price_id: "startup_monthly",
    stripe_price_id: "price_1",
    stripe_customer_id: null,
    customer_email: "owner@acme.test",
    open_session_ids: [],
    ...changes,
  },
];
const SESSION = { id: "cs_1", url: "https://checkout.stripe.test/cs_1", expires_at: SECONDS + 3600 };
const KEY_HASH = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"; // of x

const buy = (path: string, { body = {}, database = {}, stripe = {}, ...setting }: Setting = {}) =>
  send(`${path}?tenant_id=${TENANT}`, {
    body: { planId: "startup_monthly", ...(body as object) },
    database: { begin_checkout: click(), record_checkout_session: null, ...database },
    stripe: {
      [CREATE_SESSION]: SESSION,
      "POST /customers": { id: "cus_new" },
      "POST /subscriptions": subscription({
        status: "incomplete",
        latest_invoice: { id: "in_1", confirmation_secret: { client_secret: "pi_1_secret" } },
      }),
      ...stripe,
    },
    ...setting,
  });

const CREATE_SESSION = "POST /checkout/sessions";
const sessionOf = ({ requests }: Sent) => requests.find(({ route }) => route === CREATE_SESSION);
const routesOf = ({ requests }: Sent) => requests.map(({ route }) => route);
const argsOf = ({ calls }: Sent, name: string) => calls.find((call) => call.name === name)?.args;

// Checkout -------------------------------------------------------------------------------------------------------

Deno.test("a checkout is a click, a customer and a session of Stripe, and the session told to the database", async () => {
  const { response, calls, requests } = await buy("/checkout");
  const expiresAt = "2026-03-01T13:00:00.000Z";
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), { id: "cs_1", url: SESSION.url, expiresAt });
  assert.deepEqual(calls, [
    {
      as: "user-token",
      name: "begin_checkout",
      args: { tenant_id: TENANT, price_id: "startup_monthly", idempotency_key: null, ip_address: null },
    },
    {
      as: "user-token",
      name: "record_checkout_session",
      args: { checkout_id: CHECKOUT, stripe_session_id: "cs_1", expires_at: expiresAt },
    },
  ]);
  assert.deepEqual(requests, [
    {
      route: "POST /customers",
      params: { name: "Acme", email: "owner@acme.test", "metadata[tenant_id]": TENANT },
      idempotencyKey: `meterbase:${TENANT}:customer`,
      authorization: "Bearer sk_test_x",
    },
    {
      route: CREATE_SESSION,
      params: {
        mode: "subscription",
        "line_items[0][price]": "price_1",
        "line_items[0][quantity]": "1",
        customer: "cus_new",
        client_reference_id: TENANT,
        "metadata[tenant_id]": TENANT,
        "metadata[checkout_id]": CHECKOUT,
        "subscription_data[metadata][tenant_id]": TENANT,
        allow_promotion_codes: "true",
        success_url: "https://app.test/billing?checkout=success",
        cancel_url: "https://app.test/billing?checkout=canceled",
      },
      idempotencyKey: "of the library",
      authorization: "Bearer sk_test_x",
    },
  ]);
});

Deno.test("whoever is a customer already is known by that, not by an address", async () => {
  const database = { begin_checkout: click({ stripe_customer_id: "cus_1" }) };
  const sent = await buy("/checkout", { database });
  assert.deepEqual(routesOf(sent), [CREATE_SESSION]);
  const { customer, customer_email } = sessionOf(sent)?.params ?? assert.fail();
  assert.deepEqual([customer, customer_email], ["cus_1", undefined]);
});

Deno.test("a customer without an address is made without one: Stripe asks for it", async () => {
  const sent = await buy("/checkout", {
    database: { begin_checkout: click({ customer_email: null }) },
  });
  assert.deepEqual(sent.requests[0]?.params, { name: "Acme", "metadata[tenant_id]": TENANT });
  const { customer, customer_email } = sessionOf(sent)?.params ?? assert.fail();
  assert.deepEqual([customer, customer_email], ["cus_new", undefined]);
});

const endOf = (id: string) => `POST /checkout/sessions/${id}/expire`;

Deno.test("earlier sessions are expired, once the new one is made and the database knows it", async () => {
  const order: string[] = [];
  const noted = (name: string, answer: unknown) => () => {
    order.push(name);
    return answer;
  };
  const sent = await buy("/checkout", {
    database: {
      begin_checkout: click({ stripe_customer_id: "cus_1", open_session_ids: ["cs_a", "cs_b"] }),
      record_checkout_session: noted("recorded", null),
    },
    stripe: {
      [CREATE_SESSION]: noted("made", SESSION),
      [endOf("cs_a")]: noted("expired", { id: "cs_a" }),
      [endOf("cs_b")]: noted("expired", { id: "cs_b" }),
    },
  });
  assert.equal(sent.response.status, 201);
  assert.deepEqual(routesOf(sent), [CREATE_SESSION, endOf("cs_a"), endOf("cs_b")]);
  assert.deepEqual(order, ["made", "recorded", "expired", "expired"]);
  const ends = sent.requests.slice(1);
  assert.deepEqual(
    ends.map(({ params, idempotencyKey }) => [params, idempotencyKey]),
    ends.map(() => [{}, "of the library"]),
  );
});

Deno.test("an earlier session that cannot be expired keeps neither the others nor the new one", async () => {
  const over = { type: "invalid_request_error", message: "This session is over." };
  const sent = await buy("/checkout", {
    database: {
      begin_checkout: click({ stripe_customer_id: "cus_1", open_session_ids: ["cs_a", "cs_b"] }),
    },
    stripe: { [endOf("cs_a")]: stripeError(400, over), [endOf("cs_b")]: { id: "cs_b" } },
  });
  assert.deepEqual([sent.response.status, (await sent.response.json()).id], [201, "cs_1"]);
  assert.deepEqual(routesOf(sent), [CREATE_SESSION, endOf("cs_a"), endOf("cs_b")]);
});

Deno.test("the session that is given out is not expired, though it was open before", async () => {
  const sent = await buy("/checkout", {
    database: {
      begin_checkout: click({ stripe_customer_id: "cus_1", open_session_ids: ["cs_1", "cs_a"] }),
    },
    stripe: { [endOf("cs_a")]: { id: "cs_a" } },
  });
  assert.equal(sent.response.status, 201);
  assert.deepEqual(routesOf(sent), [CREATE_SESSION, endOf("cs_a")]);
});

Deno.test("a customer goes back where it was asked for", async () => {
  const successUrl = "https://app.test/billing/done?session={CHECKOUT_SESSION_ID}";
  const sent = await buy("/checkout", {
    body: { successUrl, cancelUrl: "https://app.test/billing/no" },
  });
  const { success_url, cancel_url } = sessionOf(sent)?.params ?? assert.fail();
  assert.deepEqual([success_url, cancel_url], [successUrl, "https://app.test/billing/no"]);
});

for (const field of ["successUrl", "cancelUrl"]) {
  Deno.test(`a ${field} that is not allowed is a 400, and no click`, async () => {
    const sent = await buy("/checkout", { body: { [field]: "https://evil.test/" } });
    await assertRefused(sent, 400, "redirect_not_allowed");
    assert.deepEqual(sent.calls, []);
  });
}

Deno.test("the same key is the same click and the same session", async () => {
  const sent = await buy("/checkout", { headers: { "idempotency-key": "x" } });
  assert.equal(argsOf(sent, "begin_checkout")?.idempotency_key, "x");
  assert.equal(sessionOf(sent)?.idempotencyKey, `meterbase:${TENANT}:checkout:${KEY_HASH}`);
});

for (const [headers, address] of [
  [{ "x-forwarded-for": "203.0.113.7, 10.0.0.1" }, "203.0.113.7"],
  [{ "x-forwarded-for": "203.0.113.7", "x-real-ip": "203.0.113.8" }, "203.0.113.8"],
  [{ "x-real-ip": "203.0.113.8", "cf-connecting-ip": "203.0.113.9" }, "203.0.113.9"],
] as [Record<string, string>, string][]) {
  Deno.test(`the click is from ${address} by ${Object.keys(headers).join(" and ")}`, async () => {
    assert.equal(argsOf(await buy("/checkout", { headers }), "begin_checkout")?.ip_address, address);
  });
}

Deno.test("a session that the database does not hear of is not given out: 503", async () => {
  const refusal = new ApiError(503, "database_unavailable", "Try again.");
  const sent = await buy("/checkout", {
    database: {
      begin_checkout: click({ open_session_ids: ["cs_a"] }),
      record_checkout_session: refusal,
    },
  });
  assert.equal(sent.response.status, 503);
  // Those before it stay good.
  assert.deepEqual(routesOf(sent), ["POST /customers", CREATE_SESSION]);
});

for (const [what, broken, asked] of [
  ["a session", CREATE_SESSION, ["POST /customers", CREATE_SESSION]],
  ["a customer", "POST /customers", ["POST /customers"]],
] as const) {
  Deno.test(`${what} that Stripe does not make is told to nobody, and earlier sessions stay`, async () => {
    const sent = await buy("/checkout", {
      database: { begin_checkout: click({ open_session_ids: ["cs_a"] }) },
      stripe: { [broken]: stripeError(500, { type: "api_error", message: "Oops." }) },
    });
    await assertError(sent, 503, "stripe_unavailable");
    assert.deepEqual(
      sent.calls.map(({ name }) => name),
      ["begin_checkout"],
    );
    assert.deepEqual(routesOf(sent), asked);
  });
}

for (const path of ["/checkout", "/create"]) {
  Deno.test(`${path}: a price goes by price_id too`, async () => {
    const sent = await buy(path, { body: { planId: undefined, price_id: "startup_annual" } });
    assert.equal(argsOf(sent, "begin_checkout")?.price_id, "startup_annual");
  });

  for (const [what, body] of [
    ["no price", { planId: undefined }],
    ["an empty price", { planId: "" }],
    ["a price that is no text", { planId: 1 }],
  ] as const) {
    Deno.test(`${path}: ${what} is a 400, and no click`, async () => {
      const sent = await buy(path, { body });
      await assertRefused(sent, 400, "invalid_request");
      assert.deepEqual(sent.calls, []);
    });
  }

  for (const [status, code] of [
    [403, "permission_denied"],
    [404, "price_not_found"],
    [409, "price_not_for_sale"],
    [409, "already_subscribed"],
    [409, "idempotency_key_reused"],
    [429, "too_many_checkouts"],
  ] as const) {
    Deno.test(`${path}: ${code} stays a ${status}, and Stripe hears nothing`, async () => {
      const refusal = new ApiError(status, code, "No.");
      await assertRefused(await buy(path, { database: { begin_checkout: refusal } }), status, code);
    });
  }
}

// Create ---------------------------------------------------------------------------------------------------------

Deno.test("a subscription of one's own form waits for its first payment", async () => {
  const sent = await buy("/create", { database: { begin_checkout: click({ stripe_customer_id: "cus_1" }) } });
  assert.equal(sent.response.status, 201);
  assert.deepEqual(await sent.response.json(), {
    subscriptionId: "sub_1",
    status: "incomplete",
    clientSecret: "pi_1_secret",
  });
  assert.deepEqual(
    sent.calls.map(({ name }) => name),
    ["begin_checkout"],
  );
  assert.deepEqual(
    sent.requests.map(({ route, params }) => [route, params]),
    [
      [
        "POST /subscriptions",
        {
          customer: "cus_1",
          "items[0][price]": "price_1",
          payment_behavior: "default_incomplete",
          "payment_settings[save_default_payment_method]": "on_subscription",
          "metadata[tenant_id]": TENANT,
          "expand[0]": "latest_invoice.confirmation_secret",
        },
      ],
    ],
  );
});

for (const [path, made] of [
  ["/create", "POST /subscriptions"],
  ["/checkout", CREATE_SESSION],
] as const) {
  Deno.test(`${path}: a tenant becomes a customer once, whatever the request's own key`, async () => {
    const { requests } = await buy(path, { headers: { "idempotency-key": "x" } });
    assert.deepEqual(
      requests.map(({ route, idempotencyKey }) => [route, idempotencyKey]),
      [
        ["POST /customers", `meterbase:${TENANT}:customer`],
        [made, `meterbase:${TENANT}:${path.slice(1)}:${KEY_HASH}`],
      ],
    );
    assert.deepEqual(requests[0]?.params, {
      name: "Acme",
      email: "owner@acme.test",
      "metadata[tenant_id]": TENANT,
    });
    assert.equal(requests[1]?.params.customer, "cus_new");
  });
}

for (const [what, latest_invoice] of [
  ["nothing is to be paid", null],
  ["an invoice is not expanded", "in_1"],
  ["an invoice has no secret", { id: "in_1", confirmation_secret: null }],
] as const) {
  Deno.test(`where ${what} there is no secret`, async () => {
    const { response } = await buy("/create", {
      stripe: { "POST /subscriptions": subscription({ latest_invoice }) },
    });
    assert.equal((await response.json()).clientSecret, null);
  });
}

// Portal ---------------------------------------------------------------------------------------------------------

const PORTAL = { "POST /billing_portal/sessions": { url: "https://billing.stripe.test/p" } };

for (const [what, body, returnUrl] of [
  ["the first allowed URL", undefined, "https://app.test/billing"],
  ["where it was asked for", { returnUrl: "https://app.test/billing/x" }, "https://app.test/billing/x"],
] as const) {
  Deno.test(`the portal leads back to ${what}`, async () => {
    const { response, requests } = await send(`/portal?tenant_id=${TENANT}`, {
      body,
      database: { get_billing_account: account() },
      stripe: PORTAL,
    });
    assert.deepEqual(
      [response.status, await response.json()],
      [201, { url: "https://billing.stripe.test/p" }],
    );
    assert.deepEqual(requests[0]?.params, { customer: "cus_1", return_url: returnUrl });
  });
}

Deno.test("a returnUrl that is not allowed is a 400", async () => {
  const sent = await send(`/portal?tenant_id=${TENANT}`, { body: { returnUrl: "https://evil.test/" } });
  await assertRefused(sent, 400, "redirect_not_allowed");
});

Deno.test("who is no customer has no portal: 409", async () => {
  const database = { get_billing_account: account({ stripe_customer_id: null }) };
  await assertRefused(await send(`/portal?tenant_id=${TENANT}`, { database }), 409, "no_customer");
});

Deno.test("where no URL is allowed there is neither checkout nor portal: 503", async () => {
  const database = { get_billing_account: account() };
  const redirectUrls: string[] = [];
  await assertRefused(await buy("/checkout", { redirectUrls }), 503, "stripe_not_configured");
  const portal = await send(`/portal?tenant_id=${TENANT}`, { database, redirectUrls });
  await assertRefused(portal, 503, "stripe_not_configured");
});
