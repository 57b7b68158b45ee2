import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { bearerToken, withErrors } from "../_shared/http.ts";
import { noWrites } from "../_shared/testing.ts";
import { createApi } from "./app.ts";

const TENANT = "018f0000-0000-7000-8000-000000000001";
const OTHER = "018f0000-0000-7000-8000-000000000002";

const row = (tenant_id: string, changes = {}) => ({
  tenant_id,
  tier: "startup",
  requests: 1000,
  requests_remaining: 987,
  requests_reset_at: "2026-03-02T00:00:00+00:00",
  analysis_runs: 20,
  analysis_runs_remaining: 19,
  analysis_runs_reset_at: "2026-03-02T00:00:00+00:00",
  ...changes,
});

/** Sends one request to an API whose caller has these tenants. */
async function send(
  path: string,
  { tenants = [row(TENANT)], allowed = true, init = {} as RequestInit } = {},
) {
  const asked: unknown[] = [];
  const app = createApi({
    identify: async (request) => {
      const token = bearerToken(request);
      const rpc: Rpc = (name, args) => {
        asked.push([token, name, args.tenant_id]);
        if (name === "get_rate_limit_usage") {
          return Promise.resolve(tenants.filter((t) => !args.tenant_id || t.tenant_id === args.tenant_id));
        }
        const resets_at = "2026-03-02T00:00:00+00:00";
        const common = {
          allowed,
          metric: "api_calls",
          period: "day",
          limit_value: 1000,
          used: 13,
          resets_at,
        };
        return Promise.resolve([{ ...common, remaining: 987, reason: null, decision_id: null }]);
      };
      return {
        rpc,
        rows: () => assert.fail("reads no table"),
        ...noWrites,
        tenantId: token === "api-key" ? OTHER : null,
      };
    },
    now: () => new Date("2026-03-01T23:59:00Z"),
  });
  const headers = { authorization: "Bearer user-token" };
  const request = new Request(`http://local.test/api${path}`, { headers, ...init });
  const response = await withErrors(async (request) => app.fetch(request))(request);
  return { response, asked };
}

async function assertError({ response }: { response: Response }, status: number, code: string) {
  assert.deepEqual([response.status, (await response.json()).error.code], [status, code]);
}

Deno.test("tells the tier, the limits and what is left, after it has counted itself", async () => {
  const { response, asked } = await send(`/rate-limit/usage?tenant_id=${TENANT}`);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    tier: "startup",
    requests: 1000,
    requestsRemaining: 987,
    analysisRuns: 20,
    analysisRunsRemaining: 19,
  });
  assert.deepEqual(asked, [
    ["user-token", "count_request", TENANT],
    ["user-token", "get_rate_limit_usage", TENANT],
  ]);
  assert.equal(response.headers.get("x-ratelimit-remaining"), "987");
});

Deno.test("unlimited is null", async () => {
  const unlimited = { requests: null, requests_remaining: null };
  const { response } = await send("/rate-limit/usage", { tenants: [row(TENANT, unlimited)] });
  const body = await response.json();
  assert.deepEqual([body.requests, body.requestsRemaining], [null, null]);
});

Deno.test("whoever has one tenant need not name it", async () => {
  const { asked } = await send("/rate-limit/usage");
  assert.deepEqual(asked.slice(1), [
    ["user-token", "count_request", TENANT],
    ["user-token", "get_rate_limit_usage", TENANT],
  ]);
});

Deno.test("an API key has the tenant that it is of", async () => {
  const init = { headers: { authorization: "Bearer api-key" } };
  const { asked } = await send("/rate-limit/usage", { tenants: [row(TENANT), row(OTHER)], init });
  assert.deepEqual(asked, [
    ["api-key", "count_request", OTHER],
    ["api-key", "get_rate_limit_usage", OTHER],
  ]);
});

Deno.test("whoever has several must, and counts for none until then", async () => {
  const answered = await send("/rate-limit/usage", { tenants: [row(TENANT), row(OTHER)] });
  assert.equal(answered.asked.length, 1);
  assert.match((await answered.response.clone().json()).error.message, /tenant_id/);
  await assertError(answered, 400, "tenant_required");
});

Deno.test("whoever has none gets a 404", async () => {
  await assertError(await send("/rate-limit/usage", { tenants: [] }), 404, "tenant_not_found");
});

Deno.test("a tenant that is no UUID is a 400, before the database is asked", async () => {
  const answered = await send("/rate-limit/usage?tenant_id=mine");
  await assertError(answered, 400, "invalid_request");
  assert.deepEqual(answered.asked, []);
});

Deno.test("past the limit: 429, and nothing is read", async () => {
  const answered = await send(`/rate-limit/usage?tenant_id=${TENANT}`, { allowed: false });
  assert.equal(answered.response.headers.get("retry-after"), "60");
  assert.equal(answered.asked.length, 1);
  await assertError(answered, 429, "quota_exceeded");
});

Deno.test("no token is a 401, another method a 405, another path a 404, all of them JSON", async () => {
  await assertError(await send("/rate-limit/usage", { init: { headers: {} } }), 401, "unauthorized");
  const post = await send("/rate-limit/usage", { init: { method: "POST" } });
  await assertError(post, 405, "method_not_allowed");
  assert.deepEqual(post.asked, []);
  await assertError(await send("/nothing"), 404, "not_found");
});

Deno.test("a database that fails is a 500 that gives nothing away", async () => {
  await assertError(await send("/rate-limit/usage", { tenants: [{} as never] }), 500, "internal_error");
});
