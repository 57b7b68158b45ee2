import assert from "node:assert/strict";
import { ApiError, bearerToken, corsHeaders, log, readText, withErrors } from "./http.ts";
import { logged } from "./testing.ts";

const request = (init: RequestInit = {}) => new Request("http://local.test/", init);
const failing = (error: unknown) => withErrors(() => Promise.reject(error))(request());

Deno.test("a pre-flight request is answered without asking the handler", async () => {
  const handle = withErrors(() => assert.fail("asked"));
  const response = await handle(request({ method: "OPTIONS" }));
  assert.equal(response.status, 204);
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  for (const name of ["authorization", "apikey", "content-type", "idempotency-key", "x-client-info"]) {
    assert.match(response.headers.get("access-control-allow-headers") ?? "", new RegExp(`\\b${name}\\b`));
  }
});

Deno.test("an answer passes with its own headers, and a browser may read the limits", async () => {
  const answer = () =>
    Promise.resolve(Response.json({ ok: true }, { headers: { "x-ratelimit-limit": "60" } }));
  const response = await withErrors(answer)(request());
  assert.equal(response.headers.get("x-ratelimit-limit"), "60");
  assert.match(response.headers.get("access-control-expose-headers") ?? "", /x-ratelimit-limit/);
  assert.deepEqual(await response.json(), { ok: true });
});

Deno.test("an ApiError becomes its status and body", async () => {
  const response = await failing(new ApiError(403, "permission_denied", "Not yours.", "ask the owner"));
  assert.equal(response.status, 403);
  assert.equal(
    response.headers.get("access-control-allow-origin"),
    corsHeaders["access-control-allow-origin"],
  );
  assert.deepEqual(await response.json(), {
    error: { code: "permission_denied", message: "Not yours.", hint: "ask the owner" },
  });
});

Deno.test("an error body has no hint where there is none", () => {
  assert.deepEqual(new ApiError(404, "gone", "Gone.").body, { error: { code: "gone", message: "Gone." } });
});

Deno.test("any other error is a 500 that gives nothing away", async () => {
  const response = await failing(new Error("password is hunter2"));
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), {
    error: { code: "internal_error", message: "Something went wrong." },
  });
});

Deno.test("the bearer token is read whatever the case of its scheme", () => {
  for (const authorization of ["Bearer abc.def", "bearer abc.def", "BEARER  abc.def"]) {
    assert.equal(bearerToken(request({ headers: { authorization } })), "abc.def");
  }
});

for (const authorization of [
  undefined,
  "",
  "Bearer",
  "Bearer ",
  "Basic abc",
  "abc.def",
  "Bearer two words",
]) {
  Deno.test(`no bearer token in ${authorization === undefined ? "a request without the header" : `"${authorization}"`}`, () => {
    const headers = authorization === undefined ? {} : { authorization };
    assert.throws(() => bearerToken(request({ headers })), { status: 401, code: "unauthorized" });
  });
}

Deno.test("a line of the log is JSON: level, msg, and what else there is to say", async () => {
  const { lines } = await logged(async () => {
    log("warn", "Something is odd", { event_id: "evt_1" });
    log("info", "Nothing is");
  });
  assert.deepEqual(lines, [
    { level: "warn", msg: "Something is odd", event_id: "evt_1" },
    { level: "info", msg: "Nothing is" },
  ]);
});

Deno.test("an error that nobody meant is on the log as msg and error", async () => {
  const { lines } = await logged(() => failing(new Error("broken")));
  assert.deepEqual(lines, [{ level: "error", msg: "Unexpected error", error: "Error: broken" }]);
});

Deno.test("a body is read as text, as long as it may be, in bytes", async () => {
  const post = (body?: string) => request({ method: "POST", ...(body !== undefined && { body }) });
  assert.equal(await readText(post("\ufeffäö"), 7), "\ufeffäö");
  assert.equal(await readText(post(), 0), "");
  await assert.rejects(readText(post("\ufeffäö"), 6), { status: 413, code: "body_too_large" });
});
