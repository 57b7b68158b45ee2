import postgres from "postgres";
import { afterAll, beforeEach, expect, inject, test } from "vitest";
import { createMeterbase } from "../../src/index.ts";
import { createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";

const { url, publishableKey, databaseUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

let person: Person;
let tenant: Tenant;

/** Of the plan `startup`, whose limits of requests and analysis runs are per user. */
beforeEach(async () => {
  person = await signUp();
  tenant = await createTenant(person.client);
  await sql`update public.tenants set plan_id = 'startup' where id = ${tenant.id}`;
});

function api(token: string | null, path = `/rate-limit/usage?tenant_id=${tenant.id}`, method = "GET") {
  return fetch(`${url}/functions/v1/api${path}`, {
    method,
    headers: { apikey: publishableKey, ...(token && { authorization: `Bearer ${token}` }) },
  });
}

const midnight = () => new Date(new Date().setUTCHours(24, 0, 0, 0)).toISOString();

async function audited() {
  return sql`
    select entity_id, severity, result from public.audit_events
    where tenant_id = ${tenant.id} and event_type = 'rate_limit_exceeded'`;
}

test("tells the caller's limits and what is left, and counts itself", async () => {
  for (const left of [999, 998]) {
    const response = await api(person.token);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      tier: "startup",
      requests: 1_000,
      requestsRemaining: left,
      analysisRuns: 20,
      analysisRunsRemaining: 20,
    });
    expect(response.headers.get("x-ratelimit-limit")).toBe("1000");
    expect(response.headers.get("x-ratelimit-remaining")).toBe(String(left));
    expect(response.headers.get("x-ratelimit-reset")).toBe(midnight());
  }
});

test("a viewer's requests count, too", async () => {
  const viewer = await signUp();
  await sql`insert into public.memberships (tenant_id, user_id, role) values (${tenant.id}, ${viewer.id}, 'viewer')`;
  const response = await api(viewer.token);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ requestsRemaining: 999 });
});

test("unlimited is null, and has no headers", async () => {
  await sql`update public.tenants set plan_id = 'unlimited' where id = ${tenant.id}`;
  const response = await api(person.token);
  expect(await response.json()).toMatchObject({ tier: "unlimited", requests: null, requestsRemaining: null });
  expect(response.headers.get("x-ratelimit-limit")).toBeNull();
});

test("many requests at once: as many as are left are answered, the others are 429, and one audit event tells of them", async () => {
  await createMeterbase(service).quota.setCustomQuota(tenant.id, "api_calls", 3, "day");
  const responses = await Promise.all(Array.from({ length: 20 }, () => api(person.token)));
  const [answered, denied] = [200, 429].map((status) => responses.filter((r) => r.status === status));
  expect([answered?.length, denied?.length]).toEqual([3, 17]);
  const response = denied?.[0] as Response;
  const { error, retryAfter } = await response.json();
  expect(error).toMatchObject({
    code: "quota_exceeded",
    message: "Daily api calls limit exceeded: 3/day. Upgrade your plan for more.",
    metric: "api_calls",
  });
  expect(retryAfter).toBeGreaterThan(0);
  expect(retryAfter).toBeLessThanOrEqual(86_400);
  expect(response.headers.get("retry-after")).toBe(String(retryAfter));
  expect(response.headers.get("x-ratelimit-limit")).toBe("3");
  expect(response.headers.get("x-ratelimit-remaining")).toBe("0");
  expect(response.headers.get("x-ratelimit-reset")).toBe(midnight());
  for (let i = 0; i < 5; i++) expect((await api(person.token)).status).toBe(429);
  expect(await audited()).toEqual([{ entity_id: "api_calls", severity: "warning", result: "failure" }]);

  // A new window has denials of its own.
  await sql`update public.tenants set clock_offset = '1 day' where id = ${tenant.id}`;
  const next = await Promise.all(Array.from({ length: 6 }, () => api(person.token)));
  expect(next.filter((r) => r.status === 200)).toHaveLength(3);
  expect(await audited()).toHaveLength(2);
});

test("the tenant may be left out by whoever has one, and must be named by whoever has several", async () => {
  expect(await (await api(person.token, "/rate-limit/usage")).json()).toMatchObject({ tier: "startup" });
  await createTenant(person.client);
  const several = await api(person.token, "/rate-limit/usage");
  expect([several.status, (await several.json()).error.code]).toEqual([400, "tenant_required"]);
  const nobody = await signUp();
  const none = await api(nobody.token, "/rate-limit/usage");
  expect([none.status, (await none.json()).error.code]).toEqual([404, "tenant_not_found"]);
});

test("who may not, and what is not there, gets a clear answer", async () => {
  const status = async (pending: Promise<Response>) => {
    const response = await pending;
    return [response.status, (await response.json()).error.code];
  };
  expect(await status(api(null))).toEqual([401, "unauthorized"]);
  expect(await status(api("not.a.token"))).toEqual([401, "unauthorized"]);
  expect(await status(api(publishableKey))).toEqual([401, "unauthorized"]);
  expect(await status(api((await signUp()).token))).toEqual([403, "permission_denied"]);
  expect(await status(api(person.token, undefined, "POST"))).toEqual([405, "method_not_allowed"]);
  expect(await status(api(person.token, "/nothing"))).toEqual([404, "not_found"]);
  expect(await (await api(person.token)).json()).toMatchObject({ requestsRemaining: 999 });
});
