import assert from "node:assert/strict";
import { ApiError, bearerToken, withErrors } from "../_shared/http.ts";
import { createApi } from "./app.ts";

const TENANT = "018f0000-0000-7000-8000-000000000001";
const ID = "018f0000-0000-7000-8000-000000000002";
const own = `/tenants/${TENANT}`;
const match = { tenant_id: TENANT, id: ID };
const common = { allowed: true, metric: "api_calls", period: "minute", limit_value: null, used: null };
const GRANTED = [{ ...common, remaining: null, resets_at: null, reason: null, decision_id: null }];

/** Sends a request to an API whose database answers as told; `asked` is what it was asked but for the count of requests. */
async function send(method: string, path: string, body?: unknown, database: Record<string, unknown> = {}) {
  const asked: unknown[][] = [];
  const ask = (...call: [string, ...unknown[]]) => {
    asked.push(call);
    const answer = database[call[0]];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const app = createApi({
    identify: async (request) => {
      bearerToken(request);
      return {
        tenantId: null,
        rpc: (name, args) => (name === "count_request" ? Promise.resolve(GRANTED) : ask(name, args)),
        rows: (table, match, _order, slice) => ask(table, match, ...(slice ? [slice] : [])),
        insert: (table, row) => ask(`insert ${table}`, row),
        update: async (table, match, changes) => (await ask(`update ${table}`, match, changes)) as unknown[],
        remove: async (table, match) => (await ask(`delete ${table}`, match)) as unknown[],
      };
    },
    now: () => new Date("2026-03-01T12:00:00Z"),
  });
  const request = new Request(`http://local.test/api${path}`, {
    method,
    headers: { authorization: "Bearer user-token" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const response = await withErrors(async (request) => app.fetch(request))(request);
  const text = await response.text();
  return { status: response.status, answer: text === "" ? null : JSON.parse(text), asked };
}

const RULE = { name: "Many failures", type: "execution_failure", threshold: 10, window_minutes: 60 };
const HOOK = { name: "Hook", type: "webhook", config: { url: "https://hooks.test/x" } };
const page = { isDescending: true, limit: 100, offset: 0 };

for (const [method, path, body, status, database, asked, answer] of [
  [
    "GET",
    "/alert-rules",
    undefined,
    200,
    { alert_rules: [RULE] },
    [["alert_rules", { tenant_id: TENANT }]],
    [RULE],
  ],
  [
    ...["POST", "/alert-rules", RULE, 201, { "insert alert_rules": match }],
    ...[[["insert alert_rules", { ...RULE, tenant_id: TENANT }]], match],
  ],
  [
    ...["PATCH", `/alert-rules/${ID}`, { threshold: null }, 200, { "update alert_rules": [match] }],
    ...[[["update alert_rules", match, { threshold: null }]], match],
  ],
  [
    ...["DELETE", `/alert-rules/${ID}`, undefined, 204, { "delete alert_rules": [match] }],
    ...[[["delete alert_rules", match]], null],
  ],
  [
    "GET",
    "/alert-channels",
    undefined,
    200,
    { alert_channels: [] },
    [["alert_channels", { tenant_id: TENANT }]],
    [],
  ],
  [
    ...["POST", "/alert-channels", HOOK, 201, { "insert alert_channels": match }],
    ...[[["insert alert_channels", { ...HOOK, tenant_id: TENANT }]], match],
  ],
  [
    ...["POST", "/alert-channels", { name: "Log", type: "console" }, 201, { "insert alert_channels": match }],
    ...[[["insert alert_channels", { name: "Log", type: "console", config: {}, tenant_id: TENANT }]], match],
  ],
  [
    ...["PATCH", `/alert-channels/${ID}`, { enabled: true }, 200, { "update alert_channels": [match] }],
    ...[[["update alert_channels", match, { enabled: true }]], match],
  ],
  [
    ...["DELETE", `/alert-channels/${ID}`, undefined, 204, { "delete alert_channels": [match] }],
    ...[[["delete alert_channels", match]], null],
  ],
  ["GET", "/alerts", undefined, 200, { alerts: [match] }, [["alerts", { tenant_id: TENANT }, page]], [match]],
  [
    ...["GET", "/alerts?status=open&limit=5&offset=10", undefined, 200, { alerts: [] }],
    ...[
      [["alerts", { tenant_id: TENANT, status: "open" }, { isDescending: true, limit: 5, offset: 10 }]],
      [],
    ],
  ],
  [
    ...["POST", `/alerts/${ID}/acknowledge`, undefined, 200, { alerts: [match], acknowledge_alert: 1 }],
    ...[
      [
        ["alerts", match],
        ["acknowledge_alert", { id: ID }],
      ],
      { changed: true },
    ],
  ],
  [
    ...["POST", `/alerts/${ID}/resolve`, undefined, 200, { alerts: [match], resolve_alert: 0 }],
    ...[
      [
        ["alerts", match],
        ["resolve_alert", { id: ID }],
      ],
      { changed: false },
    ],
  ],
  [
    ...["POST", `/alerts/${ID}/resolve`, { note: "Upgraded." }, 200, { alerts: [match], resolve_alert: 1 }],
    ...[
      [
        ["alerts", match],
        ["resolve_alert", { id: ID, note: "Upgraded." }],
      ],
      { changed: true },
    ],
  ],
  [
    ...[
      "POST",
      `/alert-channels/${ID}/test`,
      undefined,
      202,
      { alert_channels: [match], test_alert_channel: ["n1"] },
    ],
    ...[
      [
        ["alert_channels", match],
        ["test_alert_channel", { channel_id: ID }],
      ],
      { notification_ids: ["n1"] },
    ],
  ],
  [
    ...["POST", `/alert-channels/${ID}/rotate-secret`, undefined, 200],
    ...[{ alert_channels: [match], rotate_channel_secret: "whsec_x" }],
    ...[
      [
        ["alert_channels", match],
        ["rotate_channel_secret", { id: ID }],
      ],
      { secret: "whsec_x" },
    ],
  ],
] as [string, string, unknown, number, Record<string, unknown>, unknown, unknown][]) {
  Deno.test(`${method} ${path.replace(ID, "…")} ${body === undefined ? "" : JSON.stringify(body)}`, async () => {
    const sent = await send(method, own + path, body, database);
    assert.deepEqual([sent.status, sent.asked, sent.answer], [status, asked, answer]);
  });
}

for (const [fault, method, path, body] of [
  ["a rule without a name", "POST", "/alert-rules", { type: "cost_spike" }],
  ["a rule of another tenant", "POST", "/alert-rules", { ...RULE, tenant_id: ID }],
  ["a rule with a slip of the pen", "POST", "/alert-rules", { ...RULE, treshold: 5 }],
  ["a threshold below nothing", "POST", "/alert-rules", { ...RULE, threshold: -1 }],
  ["a channel that is no UUID", "POST", "/alert-rules", { ...RULE, channel_ids: ["x"] }],
  ["a change of nothing", "PATCH", `/alert-rules/${ID}`, {}],
  ["a change of the type", "PATCH", `/alert-rules/${ID}`, { type: "cost_spike" }],
  ["a change of the tenant", "PATCH", `/alert-channels/${ID}`, { tenant_id: ID }],
  ["a rule that is no UUID", "PATCH", "/alert-rules/mine", { name: "x" }],
  ["a channel of another type", "POST", "/alert-channels", { ...HOOK, type: "pigeon" }],
  ["a config that is none", "POST", "/alert-channels", { ...HOOK, config: "x" }],
  ["a status that is none", "GET", "/alerts?status=closed", undefined],
  ["a filter that there is not", "GET", "/alerts?state=open", undefined],
  ["a note that is too long", "POST", `/alerts/${ID}/resolve`, { note: "x".repeat(2001) }],
  ["an alert that is no UUID", "POST", "/alerts/mine/acknowledge", undefined],
] as [string, string, string, unknown][]) {
  Deno.test(`${fault} is a 400, and nothing is asked`, async () => {
    const { status, answer, asked } = await send(method, own + path, body);
    assert.deepEqual([status, answer.error.code, asked], [400, "invalid_request", []]);
  });
}

Deno.test("a note that is no JSON is a 400", async () => {
  const { status, answer } = await send("POST", `${own}/alerts/${ID}/resolve`, "{");
  assert.deepEqual([status, answer.error.code], [400, "invalid_json"]);
});

for (const [path, table, missing] of [
  ["alert-rules", "alert_rules", "alert_rule_not_found"],
  ["alert-channels", "alert_channels", "alert_channel_not_found"],
] as const) {
  for (const [method, verb, body] of [
    ["PATCH", "update", { name: "x" }],
    ["DELETE", "delete", undefined],
  ] as const) {
    Deno.test(`${method} of one of ${path} that is not the tenant's is a 404, of one that is only seen a 403`, async () => {
      const of = (seen: unknown[]) =>
        send(method, `${own}/${path}/${ID}`, body, { [`${verb} ${table}`]: [], [table]: seen });
      const none = await of([]);
      assert.deepEqual([none.status, none.answer.error.code], [404, missing]);
      const seen = await of([match]);
      assert.deepEqual([seen.status, seen.answer.error.code], [403, "permission_denied"]);
    });
  }
}

for (const [path, table, missing] of [
  [`/alerts/${ID}/acknowledge`, "alerts", "alert_not_found"],
  [`/alerts/${ID}/resolve`, "alerts", "alert_not_found"],
  [`/alert-channels/${ID}/test`, "alert_channels", "alert_channel_not_found"],
  [`/alert-channels/${ID}/rotate-secret`, "alert_channels", "alert_channel_not_found"],
] as const) {
  Deno.test(`POST ${path.replace(ID, "…")} of another tenant's is a 404, and nothing is done`, async () => {
    const { status, answer, asked } = await send("POST", own + path, undefined, { [table]: [] });
    assert.deepEqual([status, answer.error.code, asked], [404, missing, [[table, match]]]);
  });
}

Deno.test("what the database refuses is refused in its words", async () => {
  const error = new ApiError(400, "invalid_alert_rule", "No.");
  const { status, answer } = await send("POST", `${own}/alert-rules`, RULE, { "insert alert_rules": error });
  assert.deepEqual([status, answer.error.code], [400, "invalid_alert_rule"]);
});

// The admin area -------------------------------------------------------------------------------------------------

for (const path of ["/admin", "/admin/usage", "/admin/users/1"]) {
  Deno.test(`${path} is for platform admins: the database is asked, with the path`, async () => {
    for (const method of ["GET", "POST"]) {
      const refused = await send(method, path, undefined, { enter_admin_area: false });
      assert.deepEqual([refused.status, refused.answer.error.code], [403, "platform_admin_only"]);
      assert.deepEqual(refused.asked, [["enter_admin_area", { path: `/api${path}` }]]);
      const admitted = await send(method, path, undefined, { enter_admin_area: true });
      assert.deepEqual([admitted.status, admitted.answer.error.code], [404, "not_found"]);
    }
  });
}

Deno.test("an answer that is neither keeps everybody out", async () => {
  assert.equal((await send("GET", "/admin/usage", undefined, { enter_admin_area: null })).status, 500);
});

Deno.test("nothing else is asked about the admin area", async () => {
  const { asked } = await send("GET", "/administrators");
  assert.deepEqual(asked, []);
});
