import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, withErrors } from "../_shared/http.ts";
import { noWrites } from "../_shared/testing.ts";
import { createApi } from "./app.ts";

const TENANT = "018f0000-0000-7000-8000-000000000001";
const USER = "018f0000-0000-7000-8000-000000000002";
const GRANTED = [
  {
    ...{
      allowed: true,
      metric: "api_calls",
      period: "minute",
      limit_value: null,
      used: null,
      remaining: null,
    },
    ...{ resets_at: null, reason: null, decision_id: null },
  },
];

/** Sends a request to an API whose database answers as told; `asked` is what it was asked but for the count of requests. */
async function send(
  method: string,
  path: string,
  body?: unknown,
  answer: (...call: Parameters<Rpc>) => unknown = () => null,
) {
  const asked: unknown[] = [];
  const ask = (...call: [string, Record<string, unknown>]) => {
    asked.push(call);
    return Promise.resolve(answer(...call));
  };
  const app = createApi({
    identify: async () => ({
      rpc: (name, args) => (name === "count_request" ? Promise.resolve(GRANTED) : ask(name, args)),
      rows: (table, match) => ask(table, match),
      ...noWrites,
      tenantId: null,
    }),
    now: () => new Date("2026-03-01T12:00:00Z"),
  });
  const init = { method, ...(body !== undefined && { body: JSON.stringify(body) }) };
  const request = new Request(`http://local.test/api${path}`, init);
  const response = await withErrors(async (request) => app.fetch(request))(request);
  return { response, asked };
}

const own = `/tenants/${TENANT}`;
const tenant_id = TENANT;

for (const [method, path, body, status, asked] of [
  ["GET", "/tenants", undefined, 200, ["tenants", {}]],
  ["POST", "/tenants", { name: "Acme" }, 201, ["create_tenant", { name: "Acme" }]],
  ["POST", "/invites/accept", { token: "t" }, 200, ["accept_invite", { token: "t" }]],
  ["POST", "/invites/reject", { token: "t" }, 204, ["reject_invite", { token: "t" }]],
  ["GET", `${own}/members`, undefined, 200, ["get_members", { tenant_id }]],
  [
    ...["POST", `${own}/members`, { email: "a@b.c", role: "viewer" }, 201],
    ["invite_member", { tenant_id, email: "a@b.c", role: "viewer" }],
  ],
  [
    ...["PATCH", `${own}/members/${USER}`, { role: "admin" }, 200],
    ["update_member_role", { tenant_id, user_id: USER, role: "admin" }],
  ],
  ["DELETE", `${own}/members/${USER}`, undefined, 204, ["remove_member", { tenant_id, user_id: USER }]],
  ["GET", `${own}/invites`, undefined, 200, ["tenant_invites", { tenant_id }]],
  ["DELETE", `${own}/invites/${USER}`, undefined, 204, ["revoke_invite", { id: USER }]],
  ["GET", `${own}/api-keys`, undefined, 200, ["api_keys", { tenant_id }]],
  [
    ...["POST", `${own}/api-keys`, { name: "CI", role: "viewer" }, 201],
    ["create_api_key", { tenant_id, name: "CI", role: "viewer" }],
  ],
  ["DELETE", `${own}/api-keys/${USER}`, undefined, 204, ["revoke_api_key", { id: USER }]],
  [
    ...["GET", `${own}/audit-report?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z`, undefined, 200],
    ["generate_audit_report", { tenant_id, from_ts: "2026-01-01T00:00:00Z", to_ts: "2026-02-01T00:00:00Z" }],
  ],
] as [string, string, unknown, number, [string, unknown]][]) {
  Deno.test(`${method} ${path.replace(TENANT, "…").replace(USER, "…")} asks ${asked[0]}`, async () => {
    const sent = await send(method, path, body);
    assert.equal(sent.response.status, status);
    assert.deepEqual(sent.asked, [asked]);
  });
}

for (const [fault, method, path, body, status, code] of [
  ["a tenant that is no UUID", "GET", "/tenants/mine/members", undefined, 400, "invalid_request"],
  ["a member that is no UUID", "DELETE", `${own}/members/me`, undefined, 400, "invalid_request"],
  ["a role that is none", "POST", `${own}/members`, { email: "a@b.c", role: "boss" }, 400, "invalid_request"],
  ["no role", "POST", `${own}/api-keys`, { name: "CI" }, 400, "invalid_request"],
  [
    "an expiry that is no time",
    "POST",
    `${own}/api-keys`,
    { name: "CI", role: "viewer", expires_at: "soon" },
    400,
    "invalid_request",
  ],
  ["a severity that is none", "GET", `${own}/audit-events?severity=bad`, undefined, 400, "invalid_request"],
  ["a limit of too much", "GET", `${own}/audit-events?limit=1001`, undefined, 400, "invalid_request"],
  [
    "a filter that there is not",
    "GET",
    `${own}/audit-events?sevrity=error`,
    undefined,
    400,
    "invalid_request",
  ],
  ["an export of a page", "GET", `${own}/audit-events?format=csv&limit=5`, undefined, 400, "invalid_request"],
  ["no range", "GET", `${own}/audit-report`, undefined, 400, "invalid_request"],
  ["another method", "PUT", `${own}/members`, {}, 405, "method_not_allowed"],
  ["another path", "GET", `${own}/nothing`, undefined, 404, "not_found"],
] as [string, string, string, unknown, number, string][]) {
  Deno.test(`${fault} is a ${status}, and nothing is asked`, async () => {
    const { response, asked } = await send(method, path, body);
    assert.deepEqual([response.status, (await response.json()).error.code, asked], [status, code, []]);
  });
}

const event = (i: number) => ({
  event_id: `018f0000-0000-7000-8000-${String(i).padStart(12, "0")}`,
  occurred_at: "2026-03-01T11:00:00.123456+00:00",
  event_type: i === 0 ? '=cmd("x")' : "tenant_updated",
  new_values: { name: 'a "quoted", name' },
});

/** So many events, by pages as the database gives them. */
const pagesOf = (total: number) => (_name: string, args: Record<string, unknown>) => {
  const from = args.before_id ? Number(String(args.before_id).slice(-12)) + 1 : 0;
  return Array.from({ length: Math.min(Number(args.max_rows), total - from) }, (_, i) => event(from + i));
};

Deno.test("audit events come by pages, each of which says where the next begins", async () => {
  const { response, asked } = await send(
    "GET",
    `${own}/audit-events?limit=2&offset=4&action=payment`,
    undefined,
    pagesOf(9),
  );
  const { events, next } = await response.json();
  assert.deepEqual(events, [event(0), event(1)]);
  assert.deepEqual(next, { before_ts: event(1).occurred_at, before_id: event(1).event_id });
  const [[, args]] = asked as [[string, Record<string, unknown>]];
  assert.deepEqual([args.action, args.max_rows, args.skip_rows], ["payment", 2, 4]);
  const last = await send("GET", `${own}/audit-events?limit=2`, undefined, pagesOf(1));
  assert.equal((await last.response.json()).next, null);
});

for (const total of [0, 1, 1000, 2500]) {
  Deno.test(`an export as JSON is one array of all ${total} events`, async () => {
    const { response, asked } = await send(
      "GET",
      `${own}/audit-events?format=json`,
      undefined,
      pagesOf(total),
    );
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.deepEqual(
      await response.json(),
      Array.from({ length: total }, (_, i) => event(i)),
    );
    assert.equal(asked.length, Math.floor(total / 1000) + 1);
  });

  Deno.test(`an export as CSV has a line for each of ${total} events`, async () => {
    const { response } = await send("GET", `${own}/audit-events?format=csv`, undefined, pagesOf(total));
    assert.equal(response.headers.get("content-disposition"), 'attachment; filename="audit-events.csv"');
    const lines = (await response.text()).trimEnd().split("\n");
    assert.equal(lines.length, total + 1);
    assert.match(lines[0] ?? "", /^occurred_at,event_id,event_type,/);
    if (total > 0) {
      assert.match(lines[1] ?? "", /,"'=cmd\(""x""\)",/);
      assert.match(lines[1] ?? "", /,"\{""name"":""a \\""quoted\\"", name""\}",/);
    }
  });
}

Deno.test("an export streams: the next page is asked for when the one before it is read", async () => {
  const { response, asked } = await send("GET", `${own}/audit-events?format=json`, undefined, pagesOf(5000));
  const reader = response.body?.getReader();
  await reader?.read();
  assert.ok(asked.length < 5, String(asked.length));
  await reader?.cancel();
});

Deno.test("an export that is refused is a status, not a file", async () => {
  const { response } = await send("GET", `${own}/audit-events?format=csv`, undefined, () => {
    throw new ApiError(403, "permission_denied", "no");
  });
  assert.deepEqual([response.status, (await response.json()).error.code], [403, "permission_denied"]);
});
