import assert from "node:assert/strict";
import type { Rpc } from "./database.ts";
import { ApiError } from "./http.ts";
import type { Decision } from "./quota.ts";
import { rateLimited } from "./rate_limit.ts";

const granted = (limit_value: number | null, changes: Partial<Decision> = {}): Decision => ({
  allowed: true,
  metric: "api_calls",
  period: "minute",
  limit_value,
  used: 1,
  remaining: limit_value === null ? null : limit_value - 1,
  resets_at: "2026-03-01T12:01:00+00:00",
  reason: null,
  decision_id: null,
  ...changes,
});
const denied = granted(60, { allowed: false, used: 60, remaining: 0, reason: "quota_exceeded" });

/** Sends one request through; the database gives the answers in turn. */
async function send(
  answers: (Decision | Error)[],
  {
    metrics,
    handle = () => Promise.resolve(Response.json("handled")),
  }: {
    metrics?: string[];
    handle?: () => Promise<Response>;
  } = {},
) {
  const steps: string[] = [];
  const rpc: Rpc = (name, args) => {
    assert.equal(args.tenant_id, "t");
    steps.push(name === "count_request" ? "request" : String(args.metric));
    const answer = answers.shift();
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve([answer]);
  };
  const limit = {
    rpc,
    tenantId: "t",
    now: () => new Date("2026-03-01T12:00:18Z"),
    onDenial: async () => {
      steps.push("denial");
    },
    ...(metrics && { metrics }),
  };
  const response = await rateLimited(limit, () => {
    steps.push("handle");
    return handle();
  });
  const [max, remaining, reset] = ["limit", "remaining", "reset"].map((name) =>
    response.headers.get(`x-ratelimit-${name}`),
  );
  return { response, steps, headers: [max, remaining, reset] };
}

const HEADERS = ["60", "59", "2026-03-01T12:01:00.000Z"];

Deno.test("counts a request, handles it, and tells what is left", async () => {
  const { response, steps, headers } = await send([granted(60)]);
  assert.deepEqual(steps, ["request", "handle"]);
  assert.deepEqual(headers, HEADERS);
  assert.equal(await response.json(), "handled");
});

Deno.test("past the limit, the request is not handled: 429 with the seconds to wait", async () => {
  const { response, steps, headers } = await send([denied]);
  assert.deepEqual(steps, ["request", "denial"]);
  assert.equal(response.status, 429);
  assert.equal(response.headers.get("retry-after"), "42");
  assert.deepEqual(headers, ["60", "0", "2026-03-01T12:01:00.000Z"]);
  assert.equal((await response.json()).retryAfter, 42);
});

Deno.test("of several metrics, each is taken and the last is told", async () => {
  const runs = granted(20, { metric: "analysis_runs" });
  const metrics = ["analysis_runs"];
  const { steps, headers } = await send([granted(60), runs], { metrics });
  assert.deepEqual(steps, ["request", ...metrics, "handle"]);
  assert.equal(headers[0], "20");
});

Deno.test("of several metrics, the first that is full denies", async () => {
  const metrics = ["analysis_runs"];
  const first = await send([denied], { metrics });
  assert.deepEqual(first.steps, ["request", "denial"]);
  const second = await send([granted(60), { ...denied, metric: "analysis_runs" }], { metrics });
  assert.deepEqual(second.steps, ["request", ...metrics, "denial"]);
  assert.equal((await second.response.json()).error.metric, "analysis_runs");
});

Deno.test("what has no limit has no headers, and hides none", async () => {
  assert.deepEqual((await send([granted(null)])).headers, [null, null, null]);
  const metrics = ["analysis_runs"];
  assert.deepEqual((await send([granted(60), granted(null)], { metrics })).headers, HEADERS);
});

for (const [error, status] of [
  [new ApiError(502, "model_failed", "No."), 502],
  [new Error("unforeseen"), 500],
] as const) {
  Deno.test(`a request that fails with ${status} was a request: it has the headers too`, async () => {
    const { response, headers } = await send([granted(60)], { handle: () => Promise.reject(error) });
    assert.equal(response.status, status);
    assert.deepEqual(headers, HEADERS);
  });
}

Deno.test("a response that tells of another limit keeps its headers", async () => {
  const own = { headers: { "x-ratelimit-limit": "5", "x-ratelimit-remaining": "0" } };
  const { headers } = await send([granted(60)], { handle: async () => Response.json({}, own) });
  assert.deepEqual(headers, ["5", "0", null]);
});

Deno.test("a request that cannot be counted is not handled", async () => {
  const refusal = new ApiError(403, "permission_denied", "Not your tenant.");
  await assert.rejects(send([refusal], { handle: () => assert.fail("handled") }), refusal);
});
