import assert from "node:assert/strict";
import Stripe from "stripe";
import { ApiError } from "./http.ts";
import { connectStripe, fromStripe } from "./stripe.ts";
import { logged } from "./testing.ts";

const API = { protocol: "http" as const, host: "127.0.0.1", port: "12111" };
const KEY = "sk_test_secret";

/** What the library makes of an answer of Stripe, and we of that. */
async function failure(status: number, error: Record<string, unknown>) {
  const stripe = connectStripe({ secretKey: KEY, api: API }, async () =>
    Response.json({ error }, { status, headers: { "stripe-should-retry": "false", "request-id": "req_1" } }),
  );
  const { result, lines } = await logged(async () =>
    fromStripe(await stripe.customers.retrieve("cus_1").catch((error) => error)),
  );
  assert.ok(result instanceof ApiError);
  return { ...result.body.error, status: result.status, lines };
}

Deno.test("the client goes where it is told, with the key, and reports nothing about itself", async () => {
  const sent: Request[] = [];
  const stripe = connectStripe({ secretKey: KEY, api: API }, async (input, init) => {
    sent.push(new Request(input, init));
    return Response.json({ id: "cus_1" }, { headers: { "request-id": "req_1" } });
  });
  await stripe.customers.retrieve("cus_1");
  await stripe.customers.retrieve("cus_1");
  assert.equal(sent[1]?.url, "http://127.0.0.1:12111/v1/customers/cus_1");
  assert.equal(sent[1]?.headers.get("authorization"), `Bearer ${KEY}`);
  assert.equal(sent[1]?.headers.has("x-stripe-client-telemetry"), false);
  assert.equal(sent[1]?.headers.get("stripe-version"), Stripe.API_VERSION);
});

Deno.test("a request that fails is made again, twice, with one key", async () => {
  const keys: (string | null)[] = [];
  const stripe = connectStripe({ secretKey: KEY, api: API }, async (_input, init) => {
    keys.push(new Headers(init?.headers).get("idempotency-key"));
    return keys.length < 3
      ? Response.json({ error: { type: "api_error", message: "Oops." } }, { status: 500 })
      : Response.json({ id: "cus_1" });
  });
  assert.equal((await stripe.customers.create({})).id, "cus_1");
  assert.deepEqual([keys.length, new Set(keys).size], [3, 1]);
});

for (const [what, answers, reports] of [
  ["an answer", [200], [[true]]],
  ["a refusal", [402], [[true]]],
  ["a failure, and its retry", [500, 200], [[false, "Stripe answered 500."], [true]]],
  ["a limit, and its retry", [429, 200], [[false, "Stripe answered 429."], [true]]],
  [
    "a network without Stripe",
    [new TypeError("connect 10.0.0.1"), 200],
    [[false, "Stripe cannot be reached (TypeError)."], [true]],
  ],
] as [string, (number | Error)[], unknown[]][]) {
  Deno.test(`${what} is reported`, async () => {
    const reported: unknown[] = [];
    const stripe = connectStripe(
      { secretKey: KEY, api: API },
      () => {
        const answer = answers.shift() ?? assert.fail("too often");
        if (answer instanceof Error) return Promise.reject(answer);
        const error = { type: "card_error", message: "No." };
        const headers = answer === 429 ? { "stripe-should-retry": "true" } : {};
        return Promise.resolve(
          Response.json(answer === 200 ? { id: "cus_1" } : { error }, { status: answer, headers }),
        );
      },
      (...report) => reported.push(report),
    );
    await stripe.customers.retrieve("cus_1").catch(() => {});
    assert.deepEqual(reported, reports);
  });
}

Deno.test("a payment that is declined is a 402 in Stripe's words, and nothing to log", async () => {
  const { lines, ...error } = await failure(402, {
    type: "card_error",
    code: "card_declined",
    message: "Your card was declined.",
  });
  assert.deepEqual(error, { status: 402, code: "payment_failed", message: "Your card was declined." });
  assert.deepEqual(lines, []);
});

for (const [what, status, error, expected, code] of [
  ["an object that is no more", 404, { code: "resource_missing" }, 409, "stripe_object_missing"],
  ["another fault of the request", 400, { code: "parameter_unknown" }, 502, "stripe_refused"],
  ["a key used for another request", 400, { type: "idempotency_error" }, 409, "idempotency_key_reused"],
  ["a limit of requests", 429, { code: "rate_limit" }, 503, "stripe_unavailable"],
  ["a failure of Stripe", 500, { type: "api_error" }, 503, "stripe_unavailable"],
  ["a request that is under way", 409, { code: "idempotency_key_in_use" }, 503, "stripe_unavailable"],
  ["a key that Stripe does not take", 401, {}, 500, "internal_error"],
  ["a key that may not", 403, {}, 500, "internal_error"],
] as [string, number, Record<string, string>, number, string][]) {
  Deno.test(`${what} is a ${expected} ${code}`, async () => {
    const message = "In Stripe's words, of sk_test_…cret";
    const answer = await failure(status, { type: "invalid_request_error", message, ...error });
    assert.deepEqual([answer.status, answer.code], [expected, code]);
    assert.notEqual(answer.message, message);
    const [line, ...others] = answer.lines;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [line?.level, line?.msg, line?.status, line?.request_id],
      ["error", "Stripe API request failed", status, "req_1"],
    );
    assert.equal(line?.error, code === "internal_error" ? undefined : message);
  });
}

Deno.test("a Stripe that cannot be reached is a 503", async () => {
  const { result } = await logged(async () =>
    fromStripe(new Stripe.errors.StripeConnectionError({ message: "No connection." } as never)),
  );
  assert.ok(result instanceof ApiError);
  assert.deepEqual([result.status, result.code], [503, "stripe_unavailable"]);
});

Deno.test("what is no failure of Stripe stays as it is", () => {
  for (const error of [new Error("unforeseen"), new ApiError(404, "x", "y"), "text", null]) {
    assert.equal(fromStripe(error), error);
  }
});
