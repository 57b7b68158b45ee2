import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, withErrors } from "../_shared/http.ts";
import type { Decision } from "../_shared/quota.ts";
import { handleChat } from "./handler.ts";
import type { Model, ModelRequest, Usage } from "./model.ts";

const TENANT = "018f0000-0000-7000-8000-000000000001";
const START = Date.parse("2026-03-01T12:00:18Z");
const USAGE: Usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

// The database ---------------------------------------------------------------------------------------------------

const decision = (metric: string, changes: Partial<Decision> = {}): Decision => ({
  allowed: true,
  metric,
  period: "minute",
  limit_value: 60,
  used: 1,
  remaining: 59,
  resets_at: "2026-03-01T12:01:00+00:00",
  reason: null,
  decision_id: null,
  ...changes,
});

const reservation = (metric: string) => ({ ...decision(metric), reservation_id: `${metric} reservation` });

const denial = (metric: string) => ({
  ...decision(metric, { allowed: false, remaining: 0, reason: "limit_reached", decision_id: "receipt" }),
  reservation_id: null,
});

/** What it is asked, as a key: the function and, of its arguments, what tells one call from the other. */
const question = (name: string, args: Record<string, unknown>) =>
  [name, args.metric ?? args.reservation_id].filter(Boolean).join(" ");

const TAKE = ["consume_quota api_calls", "reserve_quota chat_messages", "reserve_quota tokens"];
const CLOSE = ["settle_reservation chat_messages reservation", "settle_reservation tokens reservation"];

const RELEASE = "release_reservation chat_messages reservation";

const GRANTED: Record<string, unknown> = {
  "consume_quota api_calls": [decision("api_calls")],
  "reserve_quota chat_messages": [reservation("chat_messages")],
  "reserve_quota tokens": [reservation("tokens")],
  "settle_reservation chat_messages reservation": [reservation("chat_messages")],
  "settle_reservation tokens reservation": [reservation("tokens")],
  [RELEASE]: null,
  record_usage: [{ accepted: 1, duplicates: 0, rejected: [] }],
};

interface Call {
  token: string | null;
  question: string;
  args: Record<string, unknown>;
}

/** Grants everything but what `answers` says; an error there is thrown. Every call is a step. */
function database(answers: Record<string, unknown>, steps: string[]) {
  const calls: Call[] = [];
  const rpc =
    (token: string | null): Rpc =>
    (name, args) => {
      const asked = question(name, args);
      steps.push(asked);
      calls.push({ token, question: asked, args });
      const answer = { ...GRANTED, ...answers }[asked];
      assert.notEqual(answer, undefined, `unexpected: ${asked}`);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    };
  return { rpc, calls };
}

// The model ------------------------------------------------------------------------------------------------------

/** Gives the pieces, then reports its usage, or does not, or fails. */
const saying = (pieces: string[], end: Usage | "unreported" | Error = USAGE): Model =>
  async function* () {
    yield* pieces;
    if (end instanceof Error) throw end;
    return end === "unreported" ? undefined : end;
  };

// A request ------------------------------------------------------------------------------------------------------

interface Setting {
  /** Changes to the request. */
  body?: Record<string, unknown>;
  init?: RequestInit;
  /** Answers of the database that are not grants. */
  answers?: Record<string, unknown>;
  model?: Model;
}

/** Sends one request to a chat whose every dependency is a stand-in. */
async function chat({ body = {}, init = {}, answers = {}, model = saying(["Hi", " there"]) }: Setting = {}) {
  const steps: string[] = [];
  const { rpc, calls } = database(answers, steps);
  const asked: ModelRequest[] = [];
  let clock = START;
  let id = 0;
  const handle = withErrors((request) =>
    handleChat(request, {
      rpc,
      model: (request) => {
        steps.push("model");
        asked.push(request);
        clock += 1_500;
        return model(request);
      },
      settings: { model: "small", models: ["small", "large"], estimatedTokens: 150 },
      now: () => new Date(clock),
      newId: () => `id-${++id}`,
    }),
  );
  const response = await handle(
    new Request("http://local.test/chat", {
      method: "POST",
      headers: { authorization: "Bearer user-token" },
      body: JSON.stringify({ tenant_id: TENANT, message: "Hello", ...body }),
      ...init,
    }),
  );
  return { response, calls, asked, steps };
}

type Answered = Awaited<ReturnType<typeof chat>>;

const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { code: string } }).error.code;

async function assertError({ response }: Answered, status: number, code: string): Promise<void> {
  assert.deepEqual([response.status, await errorOf(response)], [status, code]);
}

/** What was charged: the amounts of both reservations, and the event recorded with the tokens. */
function settlement({ calls }: Answered) {
  const settled = calls.filter((call) => call.question.startsWith("settle_reservation"));
  const [message, tokens] = CLOSE.map((name) => settled.find((call) => call.question === name)?.args);
  assert.equal(settled.length, 2);
  return {
    message: message?.actual_amount,
    tokens: tokens?.actual_amount,
    event: tokens?.event as Record<string, unknown>,
    bearers: settled.map((call) => call.token),
  };
}

/** The events of a streamed answer. */
async function streamed(response: Response) {
  const blocks = (await response.text()).trim().split("\n\n");
  return blocks.map((block) => {
    const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? assert.fail(block);
    return { event, data: JSON.parse(data ?? "") };
  });
}

// Admission ------------------------------------------------------------------------------------------------------

Deno.test("takes the request, the message and the tokens, in this order, then asks the model, then settles", async () => {
  const { steps } = await chat();
  assert.deepEqual(steps, [...TAKE, "model", ...CLOSE]);
});

Deno.test("takes as the user: one request, one message, and an estimate of the tokens", async () => {
  const { calls } = await chat();
  assert.deepEqual(
    calls.slice(0, 3).map(({ token, args }) => [token, args]),
    [
      ["user-token", { tenant_id: TENANT, metric: "api_calls" }],
      ["user-token", { tenant_id: TENANT, metric: "chat_messages", amount: 1 }],
      // 4 for the message, 2 for "Hello", 150 for the answer.
      ["user-token", { tenant_id: TENANT, metric: "tokens", amount: 156 }],
    ],
  );
});

for (const [metric, question, steps] of [
  ["api_calls", "consume_quota api_calls", [...TAKE.slice(0, 1), "record_usage"]],
  ["chat_messages", "reserve_quota chat_messages", [...TAKE.slice(0, 2), "record_usage"]],
  ["tokens", "reserve_quota tokens", [...TAKE, RELEASE, "record_usage"]],
] as const) {
  Deno.test(`denied by ${metric}: gives back what was held, records the denial, leaves the model alone`, async () => {
    const answered = await chat({ answers: { [question]: [denial(metric)] } });
    assert.equal(answered.response.status, 429);
    assert.deepEqual(answered.steps, steps);
    const args = answered.calls.at(-1)?.args as { events: Record<string, unknown>[] } | undefined;
    assert.deepEqual([args?.events[0]?.api_status_code, args?.events[0]?.tokens_consumed], [429, 0]);
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
  const first = await chat({ answers: { "consume_quota api_calls": refusal } });
  await assertError(first, 403, "permission_denied");
  assert.deepEqual(first.steps, TAKE.slice(0, 1));

  const last = await chat({ answers: { "reserve_quota tokens": refusal } });
  await assertError(last, 403, "permission_denied");
  assert.deepEqual(last.steps, [...TAKE, RELEASE]);
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
  ["no tenant", { body: { tenant_id: undefined } }, "invalid_request"],
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

// The answer -----------------------------------------------------------------------------------------------------

Deno.test("answers with the message, its usage, where the tokens stand, and the per-minute limit in the headers", async () => {
  const { response } = await chat({ body: { session_id: "session" } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-ratelimit-remaining"), "59");
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await response.json(), {
    session_id: "session",
    message: "Hi there",
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
  const { response } = await chat({ answers: { "consume_quota api_calls": [unlimited] } });
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
  assert.deepEqual(asked, [{ model: "large", messages, stream: false }]);
});

Deno.test("a single message is asked of the default model as the user's", async () => {
  const { asked } = await chat();
  assert.deepEqual(asked, [
    { model: "small", messages: [{ role: "user", content: "Hello" }], stream: false },
  ]);
});

// The settlement -------------------------------------------------------------------------------------------------

Deno.test("charges one message and the tokens that the model reports, with one event", async () => {
  const { message, tokens, event } = settlement(await chat({ body: { visitor_id: "visitor" } }));
  assert.deepEqual([message, tokens], [1, 10]);
  assert.deepEqual(event, {
    event_id: "id-1",
    event_type: "chat_message",
    tokens_consumed: 10,
    api_response_time_ms: 1_500,
    api_status_code: 200,
    metadata: {
      model: "small",
      session_id: "id-2",
      visitor_id: "visitor",
      prompt_tokens: 7,
      completion_tokens: 3,
    },
  });
});

Deno.test("charges an estimate when the model reports no usage", async () => {
  const answered = await chat({ model: saying(["Hi", " there"], "unreported") });
  // "Hello": 4 + 2; "Hi there": 2.
  const usage = { prompt_tokens: 6, completion_tokens: 2, total_tokens: 8 };
  assert.equal(settlement(answered).tokens, 8);
  assert.deepEqual(((await answered.response.json()) as { usage: Usage }).usage, usage);
});

Deno.test("settles without the user's token: a long answer outlives it", async () => {
  assert.deepEqual(settlement(await chat()).bearers, [null, null]);
});

Deno.test("answers although the settlement fails, without saying where the tokens stand", async () => {
  const down = new ApiError(503, "database_unavailable", "Down.");
  for (const stream of [false, true]) {
    const { response } = await chat({ body: { stream }, answers: { [`${CLOSE[1]}`]: down } });
    assert.equal(response.status, 200);
    const answer = stream ? (await streamed(response)).at(-1)?.data : await response.json();
    assert.deepEqual([answer.message, answer.quota], ["Hi there", null]);
  }
});

for (const stream of [false, true]) {
  Deno.test(`a model that fails at once is a 502, charges nothing and records it (stream: ${stream})`, async () => {
    const answered = await chat({ body: { stream }, model: saying([], new Error("overloaded")) });
    await assertError(answered, 502, "model_failed");
    const { message, tokens, event, bearers } = settlement(answered);
    assert.deepEqual([message, tokens, bearers], [0, 0, [null, null]]);
    assert.deepEqual([event.api_status_code, event.tokens_consumed], [502, 0]);
  });
}

// Streaming ------------------------------------------------------------------------------------------------------

Deno.test("streams the pieces as they come, then the whole answer", async () => {
  const answered = await chat({ body: { stream: true, session_id: "session" } });
  assert.equal(answered.response.headers.get("content-type"), "text/event-stream");
  assert.equal(answered.response.headers.get("x-ratelimit-limit"), "60");
  assert.equal(answered.asked[0]?.stream, true);
  assert.deepEqual(await streamed(answered.response), [
    { event: "delta", data: { content: "Hi" } },
    { event: "delta", data: { content: " there" } },
    {
      event: "done",
      data: { session_id: "session", message: "Hi there", usage: USAGE, quota: decision("tokens") },
    },
  ]);
  assert.equal(settlement(answered).event.api_status_code, 200);
});

Deno.test("a model that breaks off ends the stream with an error event, and charges nothing", async () => {
  const answered = await chat({ body: { stream: true }, model: saying(["Hi"], new Error("cut")) });
  assert.equal(answered.response.status, 200);
  assert.deepEqual(await streamed(answered.response), [
    { event: "delta", data: { content: "Hi" } },
    {
      event: "error",
      data: { error: { code: "model_failed", message: "The model did not answer; nothing was charged." } },
    },
  ]);
  const { message, tokens, event } = settlement(answered);
  assert.deepEqual([message, tokens, event.api_status_code], [0, 0, 502]);
});

for (const [who, reads] of [
  ["leaves halfway", 1],
  ["leaves before the first piece", 0],
] as const) {
  Deno.test(`a reader that ${who} is charged for what the model gave until then`, async () => {
    let given = 0;
    let ended = false;
    const endless: Model = async function* () {
      try {
        for (;;) {
          given++;
          yield "word"; // one token by the estimate
        }
      } finally {
        ended = true;
      }
    };
    const answered = await chat({ body: { stream: true }, model: endless });
    const reader = answered.response.body?.getReader();
    for (let i = 0; i < reads; i++) await reader?.read();
    await reader?.cancel();
    await until(() => answered.steps.length === [...TAKE, "model", ...CLOSE].length);

    const { message, tokens, event } = settlement(answered);
    assert.equal(ended, true);
    assert.deepEqual([message, tokens, event.api_status_code], [1, 6 + given, 499]);
  });
}

/** Waits for what a cancelled stream leads to: nothing tells when it is done. */
async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 1_000, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
