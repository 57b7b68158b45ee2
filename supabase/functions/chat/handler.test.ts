import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import {
  assertError,
  CLOSE,
  chat,
  decision,
  denial,
  RELEASE,
  type Setting,
  TAKE,
  TENANT,
  USAGE,
} from "./testing.ts";

// Admission ------------------------------------------------------------------------------------------------------

Deno.test("takes the request, the message and the tokens, in this order, then asks the model, then settles", async () => {
  const { steps } = await chat();
  assert.deepEqual(steps, [...TAKE, "model", CLOSE]);
});

Deno.test("takes as the user: one request, one message, and an estimate of the tokens", async () => {
  const { calls } = await chat({ body: { visitor_id: "visitor" } });
  const held = { tenant_id: TENANT, ttl_seconds: 600 };
  // What is recorded if the call dies: the database adds the tokens spent; the message is given back.
  const event = {
    event_id: "id-1",
    event_type: "chat_message",
    quantity: 0,
    metadata: { model: "small", session_id: "id-2", visitor_id: "visitor" },
  };
  assert.deepEqual(
    calls.slice(0, 3).map(({ token, args }) => [token, args]),
    [
      ["user-token", { tenant_id: TENANT }],
      ["user-token", { ...held, metric: "chat_messages", amount: 1, event: null }],
      // 4 for the message, 2 for "Hello", 150 for the answer.
      ["user-token", { ...held, metric: "tokens", amount: 156, event }],
    ],
  );
});

for (const [metric, question, steps] of [
  ["api_calls", "count_request", [...TAKE.slice(0, 1), "record_usage"]],
  ["chat_messages", "reserve_quota chat_messages", [...TAKE.slice(0, 2), "record_usage"]],
  ["tokens", "reserve_quota tokens", [...TAKE, RELEASE, "record_usage"]],
] as const) {
  Deno.test(`denied by ${metric}: gives back what was held, records the denial, leaves the model alone`, async () => {
    const answered = await chat({ answers: { [question]: [denial(metric)] } });
    assert.equal(answered.response.status, 429);
    assert.deepEqual(answered.steps, steps);
    const args = answered.calls.at(-1)?.args as { events: Record<string, unknown>[] } | undefined;
    const [event] = args?.events ?? [];
    assert.deepEqual([event?.api_status_code, event?.tokens_consumed, event?.quantity], [429, 0, 0]);
  });
}

Deno.test("a denial tells limit, reset and when to come back", async () => {
  const { response } = await chat({ answers: { "reserve_quota chat_messages": [denial("chat_messages")] } });
  const headers = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
  assert.deepEqual(
    headers.map((name) => response.headers.get(name)),
    ["42", "60", "0", "2026-03-01T12:01:00.000Z"],
  );
  assert.deepEqual(await response.json(), {
    error: {
      code: "quota_exceeded",
      message: "Per-minute chat messages limit exceeded: 60/minute. Upgrade your plan for more.",
      hint: "limit_reached",
      metric: "chat_messages",
      decision_id: "receipt",
    },
    retryAfter: 42,
  });
});

Deno.test("a denial by the tokens tells of the tokens, not of the requests", async () => {
  const tokens = { ...denial("tokens"), period: "day", limit_value: 100 };
  const { response } = await chat({ answers: { "reserve_quota tokens": [tokens] } });
  assert.equal(response.headers.get("x-ratelimit-limit"), "100");
});

Deno.test("a denial stands although nothing can be given back or recorded any more", async () => {
  const down = new ApiError(503, "database_unavailable", "Down.");
  const { response } = await chat({
    answers: {
      "reserve_quota tokens": [denial("tokens")],
      [RELEASE]: down,
      record_usage: down,
    },
  });
  assert.equal(response.status, 429);
});

Deno.test("a database that refuses is passed on, and the message held by then is given back", async () => {
  const refusal = new ApiError(403, "permission_denied", "Not your tenant.");
  const first = await chat({ answers: { count_request: refusal } });
  await assertError(first, 403, "permission_denied");
  assert.deepEqual(first.steps, TAKE.slice(0, 1));

  const last = await chat({ answers: { "reserve_quota tokens": refusal } });
  await assertError(last, 403, "permission_denied");
  assert.deepEqual(last.steps, [...TAKE, RELEASE]);
  assert.equal(last.response.headers.get("x-ratelimit-limit"), "60");
});

// Requests that are none -----------------------------------------------------------------------------------------

for (const [problem, headers] of Object.entries({
  "no Authorization": {},
  "an Authorization that is no bearer token": { authorization: "Basic dXNlcjpwYXNz" },
})) {
  Deno.test(`${problem} is a 401`, async () => {
    const answered = await chat({ init: { headers } });
    await assertError(answered, 401, "unauthorized");
    assert.deepEqual(answered.steps, []);
  });
}

Deno.test("a GET is a 405", async () => {
  await assertError(await chat({ init: { method: "GET", body: null } }), 405, "method_not_allowed");
});

Deno.test("a pre-flight request needs no token", async () => {
  const { response } = await chat({ init: { method: "OPTIONS", headers: {}, body: null } });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
});

for (const [problem, setting, code] of [
  ["a body that is not JSON", { init: { body: "{" } }, "invalid_json"],
  ["a body that is no object", { init: { body: "[]" } }, "invalid_request"],
  ["no tenant of a user", { body: { tenant_id: undefined } }, "tenant_required"],
  ["a tenant that is no UUID", { body: { tenant_id: "mine" } }, "invalid_request"],
  ["neither message nor messages", { body: { message: undefined } }, "invalid_request"],
  ["both message and messages", { body: { messages: [{ role: "user", content: "Hi" }] } }, "invalid_request"],
  ["no messages in messages", { body: { message: undefined, messages: [] } }, "invalid_request"],
  [
    "a role that is unknown",
    { body: { message: undefined, messages: [{ role: "x", content: "Hi" }] } },
    "invalid_request",
  ],
  ["an empty message", { body: { message: "" } }, "invalid_request"],
  ["a model that is not offered", { body: { model: "huge" } }, "model_not_allowed"],
] satisfies [string, Setting, string][]) {
  Deno.test(`${problem} is a 400, and counts for nothing`, async () => {
    const answered = await chat(setting);
    await assertError(answered, 400, code);
    assert.deepEqual(answered.steps, []);
  });
}

Deno.test("an API key implies its tenant", async () => {
  const init = { headers: { authorization: "Bearer api-key" } };
  const { response, calls } = await chat({ body: { tenant_id: undefined }, init });
  assert.equal(response.status, 200);
  assert.deepEqual(
    calls.filter(({ args }) => "tenant_id" in args).map(({ token, args }) => [token, args.tenant_id]),
    Array(5).fill(["api-key", TENANT]),
  );
});

// The answer -----------------------------------------------------------------------------------------------------

Deno.test("answers with the message, its usage, where the tokens stand, and the per-minute limit in the headers", async () => {
  const { response } = await chat({ body: { session_id: "session" } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-ratelimit-remaining"), "59");
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await response.json(), {
    session_id: "session",
    message: "Hi there",
    finish_reason: "stop",
    usage: USAGE,
    quota: decision("tokens"),
  });
});

Deno.test("has no rate headers where there is no per-minute limit", async () => {
  const unlimited = decision("api_calls", {
    period: null,
    limit_value: null,
    remaining: null,
    resets_at: null,
  });
  const { response } = await chat({ answers: { count_request: [unlimited] } });
  assert.equal(response.status, 200);
  assert.deepEqual(
    [...response.headers.keys()].filter((name) => name.startsWith("x-ratelimit")),
    [],
  );
});

Deno.test("the model gets the conversation as it came, and the model that was named", async () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello" },
  ];
  const { asked } = await chat({ body: { message: undefined, messages, model: "large" } });
  assert.deepEqual([asked[0]?.model, asked[0]?.messages], ["large", messages]);
});

Deno.test("a single message is asked of the default model as the user's", async () => {
  const { asked } = await chat();
  assert.deepEqual([asked[0]?.model, asked[0]?.messages], ["small", [{ role: "user", content: "Hello" }]]);
});
