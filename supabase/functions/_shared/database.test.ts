import assert from "node:assert/strict";
import { z } from "zod";
import { connect, type DataApi, one } from "./database.ts";

const KEY = "k";

/** What a call of the data API sends, and what comes of an answer to it. */
async function call<T>(use: (api: DataApi) => Promise<T>, answer: Response = Response.json([])) {
  const before = globalThis.fetch;
  const requests: Request[] = [];
  globalThis.fetch = async (input, init) => {
    requests.push(new Request(input, init));
    return answer;
  };
  try {
    const result = await use(connect({ url: "http://project.test", key: KEY })).catch((error) => error);
    const [request] = requests as [Request];
    const { pathname, searchParams } = new URL(request.url);
    const query = Object.fromEntries(searchParams);
    return { result, method: request.method, pathname, query, body: await request.text() };
  } finally {
    globalThis.fetch = before;
  }
}

Deno.test("rows come in the order of a column, all of them or a slice", async () => {
  const all = await call(({ rows }) => rows("api_keys", { tenant_id: "t" }, "created_at"));
  assert.deepEqual(
    [all.pathname, all.query],
    ["/rest/v1/api_keys", { select: "*", tenant_id: "eq.t", order: "created_at.asc" }],
  );
  const slice = { isDescending: true, limit: 5, offset: 10 };
  const some = await call(({ rows }) => rows("alerts", {}, "opened_at", slice));
  assert.deepEqual(some.query, { select: "*", order: "opened_at.desc", offset: "10", limit: "5" });
});

Deno.test("a row is added, changed and deleted, and comes back", async () => {
  const match = { tenant_id: "t", id: "i" };
  const query = { select: "*", tenant_id: "eq.t", id: "eq.i" };
  const added = await call(({ insert }) => insert("alert_rules", { name: "x" }), Response.json({ id: "i" }));
  assert.deepEqual(
    [added.method, added.pathname, added.body, added.result],
    ["POST", "/rest/v1/alert_rules", '{"name":"x"}', { id: "i" }],
  );
  const changed = await call(({ update }) => update("alert_rules", match, { name: "y" }));
  assert.deepEqual([changed.method, changed.query, changed.body], ["PATCH", query, '{"name":"y"}']);
  const deleted = await call(({ remove }) => remove("alert_rules", match), Response.json([{ id: "i" }]));
  assert.deepEqual([deleted.method, deleted.query, deleted.result], ["DELETE", query, [{ id: "i" }]]);
});

for (const [what, code, status, expected] of [
  ["a check", "23514", 400, [400, "invalid_request"]],
  ["a row that it names and that there is not", "23503", 409, [400, "invalid_request"]],
  ["another row", "23505", 409, [400, "invalid_request"]],
  ["a type", "22P02", 400, [400, "invalid_request"]],
  ["a range", "22003", 400, [400, "invalid_request"]],
  ["row level security", "42501", 403, [403, "permission_denied"]],
  ["nobody's key", "42501", 401, [401, "unauthorized"]],
  ["a rule of ours", "PT400", 400, [400, "invalid_alert_rule"]],
  ["a database that is away", "57P01", 500, [503, "database_unavailable"]],
] as const) {
  Deno.test(`a row that is refused by ${what} is a ${expected.join(" ")}`, async () => {
    const error = { code, hint: "invalid_alert_rule", message: "No.", details: null };
    for (const use of [
      ({ insert }: DataApi) => insert("alert_rules", {}),
      ({ update }: DataApi) => update("alert_rules", { id: "i" }, { name: "x" }),
      ({ remove }: DataApi) => remove("alert_rules", { id: "i" }),
    ]) {
      const { result } = await call<unknown>(use, Response.json(error, { status }));
      assert.deepEqual([result.status, result.code], expected);
    }
  });
}

Deno.test("one row is one row", () => {
  assert.equal(one(z.number(), [1]), 1);
  for (const rows of [[], [1, 2], ["1"], null, 1]) assert.throws(() => one(z.number(), rows));
});
