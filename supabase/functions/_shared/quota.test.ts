import assert from "node:assert/strict";
import type { Rpc } from "./database.ts";
import {
  consume,
  countRequest,
  type Decision,
  extend,
  quotaExceeded,
  rateLimitHeaders,
  reserve,
  settle,
} from "./quota.ts";

const now = new Date("2026-03-01T12:00:18.400Z");

const decision = (changes: Partial<Decision> = {}): Decision => ({
  allowed: true,
  metric: "api_calls",
  period: "minute",
  limit_value: 60,
  used: 1,
  remaining: 59,
  resets_at: "2026-03-01T12:01:00+00:00",
  reason: null,
  decision_id: null,
  ...changes,
});

const denial = (changes: Partial<Decision> = {}) =>
  decision({
    allowed: false,
    used: 60,
    remaining: 0,
    reason: "limit_reached",
    decision_id: "receipt",
    ...changes,
  });

async function bodyOf(changes: Partial<Decision>) {
  return (await quotaExceeded(denial(changes), now).json()) as {
    error: { message: string };
    retryAfter: unknown;
  };
}

/** A database that answers everything with `rows`, and keeps what it was asked. */
function database(rows: unknown) {
  const asked: unknown[] = [];
  const rpc: Rpc = (name, args) => {
    asked.push([name, args]);
    return Promise.resolve(rows);
  };
  return { rpc, asked };
}

Deno.test("a limited decision gives the three headers, the reset in ISO 8601", () => {
  assert.deepEqual(rateLimitHeaders(decision()), {
    "x-ratelimit-limit": "60",
    "x-ratelimit-remaining": "59",
    "x-ratelimit-reset": "2026-03-01T12:01:00.000Z",
  });
});

Deno.test("a limit that never resets gives no reset header", () => {
  assert.deepEqual(rateLimitHeaders(decision({ period: "none", resets_at: null })), {
    "x-ratelimit-limit": "60",
    "x-ratelimit-remaining": "59",
  });
});

Deno.test("a limit of 0 is a limit", () => {
  assert.equal(rateLimitHeaders(decision({ limit_value: 0, remaining: 0 }))["x-ratelimit-limit"], "0");
});

Deno.test("no headers without a decision, and none without a limit", () => {
  assert.deepEqual(rateLimitHeaders(null), {});
  assert.deepEqual(rateLimitHeaders(decision({ limit_value: null, remaining: null, resets_at: null })), {});
});

Deno.test("a denial is a 429 that says what, why and when to ask again", async () => {
  const response = quotaExceeded(
    denial({
      metric: "analysis_runs",
      period: "day",
      limit_value: 20,
      resets_at: "2026-03-02T00:00:00+00:00",
    }),
    now,
  );
  const seconds = 12 * 3600 - 18; // rounded up: asking a moment too early would be denied again
  assert.equal(response.status, 429);
  assert.equal(response.headers.get("retry-after"), String(seconds));
  assert.equal(response.headers.get("x-ratelimit-limit"), "20");
  assert.equal(response.headers.get("x-ratelimit-remaining"), "0");
  assert.equal(response.headers.get("x-ratelimit-reset"), "2026-03-02T00:00:00.000Z");
  assert.deepEqual(await response.json(), {
    error: {
      code: "quota_exceeded",
      message: "Daily analysis runs limit exceeded: 20/day. Upgrade your plan for more.",
      hint: "limit_reached",
      metric: "analysis_runs",
      decision_id: "receipt",
    },
    retryAfter: seconds,
  });
});

for (const [period, sentence] of [
  ["minute", "Per-minute api calls limit exceeded: 60/minute."],
  ["hour", "Hourly api calls limit exceeded: 60/hour."],
  ["day", "Daily api calls limit exceeded: 60/day."],
  ["month", "Monthly api calls limit exceeded: 60/month."],
  ["none", "Api calls limit exceeded: 60."],
] as const) {
  Deno.test(`the sentence of a denial by period "${period}"`, async () => {
    assert.equal((await bodyOf({ period })).error.message, `${sentence} Upgrade your plan for more.`);
  });
}

Deno.test("a window that has just ended asks for one second, never for zero or less", async () => {
  assert.equal((await bodyOf({ resets_at: "2026-03-01T12:00:18+00:00" })).retryAfter, 1);
});

Deno.test("a denial that no time ends has no Retry-After", () => {
  const response = quotaExceeded(denial({ period: "none", resets_at: null }), now);
  assert.equal(response.headers.has("retry-after"), false);
});

Deno.test("consume, reserve, extend and settle ask by the names that are the contract", async () => {
  const { rpc, asked } = database([{ ...decision(), reservation_id: "r" }]);
  assert.deepEqual(await countRequest(rpc, "t"), decision());
  assert.deepEqual(await consume(rpc, "t", "analysis_runs"), decision());
  assert.equal((await reserve(rpc, "t", "tokens", 5, { ttlSeconds: 60 })).reservation_id, "r");
  await reserve(rpc, "t", "tokens", 5, { ttlSeconds: 60, event: { event_id: "e" } });
  assert.equal((await extend(rpc, "r", 4)).allowed, true);
  const settlements = [
    { reservation_id: "r", actual_amount: 3, event: { event_id: "e" } },
    { reservation_id: "s", actual_amount: 0 },
  ];
  assert.equal((await settle(rpc, settlements))[0]?.reservation_id, "r");
  const held = { tenant_id: "t", metric: "tokens", amount: 5, ttl_seconds: 60 };
  assert.deepEqual(asked, [
    ["count_request", { tenant_id: "t" }],
    ["consume_quota", { tenant_id: "t", metric: "analysis_runs" }],
    ["reserve_quota", { ...held, event: null }],
    ["reserve_quota", { ...held, event: { event_id: "e" } }],
    ["extend_reservation", { reservation_id: "r", amount: 4 }],
    ["settle_reservations", { settlements }],
  ]);
});

for (const [answer, rows] of Object.entries({
  "no row": [],
  "two rows": [decision(), decision()],
  "a row of another shape": [{ allowed: "yes" }],
  nothing: null,
})) {
  Deno.test(`${answer} is no answer to a quota question`, async () => {
    await assert.rejects(consume(database(rows).rpc, "t", "api_calls"), { name: "ZodError" });
  });
}
