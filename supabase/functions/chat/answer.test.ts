import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import type { Model, Usage } from "./model.ts";
import {
  type Answered,
  assertError,
  CLOSE,
  chat,
  decision,
  denial,
  EXTEND,
  saying,
  settlement,
  streamed,
  TAKE,
  USAGE,
  until,
} from "./testing.ts";

// The settlement -------------------------------------------------------------------------------------------------

Deno.test("charges one message and the tokens that the model reports, with one event", async () => {
  const { message, tokens, event } = settlement(await chat({ body: { visitor_id: "visitor" } }));
  assert.deepEqual([message, tokens], [1, 10]);
  assert.deepEqual(event, {
    event_id: "id-1",
    event_type: "chat_message",
    quantity: 1,
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

/** What the audit was told. */
const told = ({ calls }: Answered) =>
  calls
    .filter(({ question }) => question === "log_audit_event")
    .map(({ token, args: { event_type, action, entity_id, result, metadata } }) => [
      ...[token, event_type, action, entity_id, result, metadata],
    ]);

Deno.test("tells the audit what came and what was sent, as the caller, without the words", async () => {
  assert.deepEqual(told(await chat({ body: { session_id: "session" } })), [
    [
      "user-token",
      "chat_message_received",
      "received",
      "session",
      undefined,
      { message_length: 5, model: "small" },
    ],
    [
      ...["user-token", "chat_response_sent", "sent", "session", "success"],
      { tokens: 10, status: 200, response_time_ms: 1_500 },
    ],
  ]);
});

Deno.test("tells the audit of a model that fails, and nothing of what was refused", async () => {
  const failed = await chat({ model: saying(["Hi"], new Error("Down")), body: { session_id: "session" } });
  assert.deepEqual(told(failed).at(-1), [
    ...["user-token", "api_error", "failed", "session", "failure"],
    { endpoint: "chat", status: 502, response_time_ms: 1_500 },
  ]);
  assert.deepEqual(told(await chat({ answers: { "reserve_quota tokens": [denial("tokens")] } })), []);
});

Deno.test("answers although the audit cannot be told", async () => {
  const { response } = await chat({ answers: { log_audit_event: new ApiError(503, "x", "Down.") } });
  assert.equal(response.status, 200);
});

Deno.test("settles without the user's token: a long answer outlives it", async () => {
  assert.equal(settlement(await chat()).bearer, null);
});

Deno.test("answers although the settlement fails, without saying where the tokens stand", async () => {
  const down = new ApiError(503, "database_unavailable", "Down.");
  for (const stream of [false, true]) {
    const { response } = await chat({ body: { stream }, answers: { [CLOSE]: down } });
    assert.equal(response.status, 200);
    const answer = stream ? (await streamed(response)).at(-1)?.data : await response.json();
    assert.deepEqual([answer.message, answer.quota], ["Hi there", null]);
  }
});

for (const stream of [false, true]) {
  Deno.test(`a model that fails at once is a 502, charges nothing and records it (stream: ${stream})`, async () => {
    const answered = await chat({ body: { stream }, model: saying([], new Error("overloaded")) });
    await assertError(answered, 502, "model_failed");
    const { message, tokens, event, bearer } = settlement(answered);
    assert.deepEqual([message, tokens, bearer], [0, 0, null]);
    assert.deepEqual([event.api_status_code, event.tokens_consumed, event.quantity], [502, 0, 0]);
    assert.equal(answered.response.headers.get("x-ratelimit-limit"), "60");
  });
}

// Streaming ------------------------------------------------------------------------------------------------------

Deno.test("streams the pieces as they come, then the whole answer", async () => {
  const answered = await chat({ body: { stream: true, session_id: "session" } });
  assert.equal(answered.response.headers.get("content-type"), "text/event-stream");
  assert.equal(answered.response.headers.get("x-ratelimit-limit"), "60");
  assert.deepEqual(await streamed(answered.response), [
    { event: "delta", data: { content: "Hi" } },
    { event: "delta", data: { content: " there" } },
    {
      event: "done",
      data: {
        session_id: "session",
        message: "Hi there",
        finish_reason: "stop",
        usage: USAGE,
        quota: decision("tokens"),
      },
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
    await until(() => answered.steps.length === [...TAKE, "model", CLOSE].length);

    const { message, tokens, event } = settlement(answered);
    assert.equal(ended, true);
    assert.deepEqual([message, tokens, event.api_status_code], [1, 6 + given, 499]);
  });
}

// The quota under way --------------------------------------------------------------------------------------------

/** 6 for the prompt "Hello", and the 150 of the first step. */
const HELD = 156;
const exhausted = () => [denial("tokens")];

/** So many pieces of one token each, by the estimate; counts those asked for. */
function words(count: number, end: Usage | "unreported" = "unreported") {
  const said = { pieces: 0, signal: new AbortController().signal };
  const model: Model = async function* ({ signal }) {
    said.signal = signal;
    for (; said.pieces < count; said.pieces++) yield "word";
    return end === "unreported" ? undefined : end;
  };
  return { model, said };
}

const extensions = ({
  calls,
}: {
  calls: { question: string; token: string | null; args: Record<string, unknown> }[];
}) => calls.filter(({ question }) => question === EXTEND).map(({ token, args }) => [token, args.amount]);

Deno.test("an answer that just fits what is held asks for no more", async () => {
  const answered = await chat({ model: words(150).model });
  assert.deepEqual(extensions(answered), []);
  assert.equal(settlement(answered).tokens, HELD);
});

Deno.test("a longer answer holds a step more before it goes on, each time, by the reservation's id alone", async () => {
  const twice = await chat({ model: words(301).model });
  assert.deepEqual(extensions(twice), [
    [null, 150],
    [null, 150],
  ]);
  assert.equal(settlement(twice).tokens, 6 + 301);
  assert.deepEqual(extensions(await chat({ model: words(300).model })), [[null, 150]]);
});

Deno.test("a piece larger than a step is held whole before it is passed on", async () => {
  const answered = await chat({ model: saying(["word".repeat(500)], "unreported") });
  assert.deepEqual(extensions(answered), [[null, 450]]);
});

Deno.test("what is not Latin counts by its bytes", async () => {
  const answered = await chat({ model: saying(["配额", "用完"], "unreported") });
  assert.equal(settlement(answered).tokens, 6 + 3);
});

for (const stream of [false, true]) {
  Deno.test(`out of quota, the answer ends where it is, and costs exactly that (stream: ${stream})`, async () => {
    let asked = 0;
    const { model, said } = words(10_000);
    const answered = await chat({
      body: { stream },
      model,
      answers: {
        [EXTEND]: () => (++asked === 1 ? [{ ...decision("tokens"), reservation_id: "r" }] : exhausted()),
      },
    });
    assert.equal(answered.response.status, 200);
    const body = stream ? (await streamed(answered.response)).at(-1)?.data : await answered.response.json();
    const usage = { prompt_tokens: 6, completion_tokens: 300, total_tokens: HELD + 150 };
    assert.deepEqual([body.finish_reason, body.usage], ["quota_exceeded", usage]);
    assert.equal(body.message, "word".repeat(300));
    const { message, tokens, event } = settlement(answered);
    assert.deepEqual([message, tokens, event.api_status_code], [1, HELD + 150, 200]);
    assert.equal(event.tokens_consumed, HELD + 150);
    assert.equal(said.signal.aborted, true);
    assert.equal(said.pieces, 300);
    assert.equal(asked, 2);
  });
}

Deno.test("nothing beyond what is held is passed on while an extension is waited for", async () => {
  let grant: (rows: unknown) => void = () => {};
  const late = new Promise((resolve) => {
    grant = resolve;
  });
  const answered = await chat({
    body: { stream: true },
    model: words(200).model,
    answers: { [EXTEND]: () => late },
  });
  const reader = answered.response.body?.getReader();
  for (let i = 0; i < 150; i++) await reader?.read();
  await until(() => answered.steps.includes(EXTEND));
  const next = reader?.read();
  const isHeldBack = new Promise((resolve) => setTimeout(resolve, 20, "held back"));
  assert.equal(await Promise.race([next?.then(() => "passed on"), isHeldBack]), "held back");
  grant([{ ...decision("tokens"), reservation_id: "r" }]);
  assert.match(new TextDecoder().decode((await next)?.value), /delta/);
  while (!(await reader?.read())?.done);
  assert.equal(settlement(answered).tokens, 206);
});

Deno.test("a reader that leaves while an extension is waited for is charged all the same", async () => {
  let grant: (rows: unknown) => void = () => {};
  const late = new Promise((resolve) => {
    grant = resolve;
  });
  const answered = await chat({
    body: { stream: true },
    model: words(200).model,
    answers: { [EXTEND]: () => late },
  });
  const reader = answered.response.body?.getReader();
  for (let i = 0; i < 150; i++) await reader?.read();
  await until(() => answered.steps.includes(EXTEND));
  const cancelled = reader?.cancel();
  grant([{ ...decision("tokens"), reservation_id: "r" }]);
  await cancelled;
  const { tokens, event } = settlement(answered);
  assert.deepEqual([tokens, event.api_status_code], [HELD + 1, 499]);
});

Deno.test("with the database away, the answer ends as an error, and costs what was passed on", async () => {
  const down = new ApiError(503, "database_unavailable", "Down.");
  const answered = await chat({ model: words(200).model, answers: { [EXTEND]: down } });
  const body = await answered.response.json();
  assert.deepEqual([answered.response.status, body.finish_reason], [200, "error"]);
  assert.equal(body.message, "word".repeat(150));
  const { tokens, event } = settlement(answered);
  assert.deepEqual([tokens, event.api_status_code], [HELD, 499]);
});

for (const total_tokens of [HELD + 500, 7]) {
  Deno.test(`what the model reports is charged, held or not: ${total_tokens}`, async () => {
    const reported = { prompt_tokens: 3, completion_tokens: total_tokens - 3, total_tokens };
    const answered = await chat({ model: words(200, reported).model });
    assert.equal(settlement(answered).tokens, total_tokens);
    assert.deepEqual((await answered.response.json()).usage, reported);
  });
}

// A model that falls silent --------------------------------------------------------------------------------------

/** Says the pieces, then nothing until it is stopped: then it throws, or ends quietly as the client library does. */
const stalling = (pieces: string[], endsQuietly = false): Model =>
  async function* ({ signal }) {
    yield* pieces;
    await new Promise<void>((resolve, reject) => {
      const stop = () => (endsQuietly ? resolve() : reject(signal.reason));
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop);
    });
    return undefined;
  };

for (const endsQuietly of [false, true]) {
  const how = endsQuietly ? "ends quietly" : "throws";

  Deno.test(`a model that falls silent halfway is stopped, and what it said is charged (it ${how})`, async () => {
    const answered = await chat({ model: stalling(["word"], endsQuietly), stallMs: 20 });
    const body = await answered.response.json();
    assert.deepEqual([body.message, body.finish_reason], ["word", "error"]);
    const { message, tokens, event } = settlement(answered);
    assert.deepEqual([message, tokens, event.api_status_code], [1, 7, 499]);
  });

  Deno.test(`a model that says nothing at all has failed, and charges nothing (it ${how})`, async () => {
    const answered = await chat({ model: stalling([], endsQuietly), stallMs: 20 });
    await assertError(answered, 502, "model_failed");
    assert.equal(settlement(answered).tokens, 0);
  });

  Deno.test(`a reader that leaves a silent model is charged for what it got (it ${how})`, async () => {
    const answered = await chat({ body: { stream: true }, model: stalling(["word"], endsQuietly) });
    const reader = answered.response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    const { message, tokens, event } = settlement(answered);
    assert.deepEqual([message, tokens, event.api_status_code], [1, 7, 499]);
  });

  Deno.test(`whoever waits for a whole answer may leave too (it ${how})`, async () => {
    const controller = new AbortController();
    const asked = chat({
      model: stalling(["word"], endsQuietly),
      init: { signal: controller.signal },
    });
    setTimeout(() => controller.abort(), 20);
    const { message, tokens, event } = settlement(await asked);
    assert.deepEqual([message, tokens, event.api_status_code], [1, 7, 499]);
  });
}
