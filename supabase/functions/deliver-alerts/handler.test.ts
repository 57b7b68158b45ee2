import assert from "node:assert/strict";
import { withErrors } from "../_shared/http.ts";
import { logged } from "../_shared/testing.ts";
import { handleDelivery } from "./handler.ts";
import { notification, virtualClock } from "./testing.ts";

const KEY = "sb_secret_of_this_project";

async function post(
  body: string | undefined,
  {
    method = "POST",
    headers = { apikey: KEY } as Record<string, string>,
    register = () => Promise.resolve(),
    count = 2,
  } = {},
) {
  const clock = virtualClock();
  const start = clock.now();
  const due = Array.from({ length: count }, (_, i) => notification(i + 1));
  let registered = 0;
  let sent = 0;
  const background: Promise<unknown>[] = [];
  const handle = withErrors((request) =>
    handleDelivery(request, {
      secretKey: KEY,
      clock,
      outbox: {
        claim: (maxRows) => Promise.resolve(due.splice(0, maxRows)),
        complete: () => Promise.resolve(),
      },
      send: ({ id }) => {
        sent++;
        return Promise.resolve(id === notification(1).id ? { ok: true } : { ok: false, error: "no" });
      },
      inBackground: (work) => background.push(work),
      register: () => {
        registered++;
        return register();
      },
    }),
  );
  const request = new Request("http://local.test/deliver-alerts", {
    method,
    headers,
    ...(body !== undefined && { body }),
  });
  const { result: response, lines } = await logged(() => clock.run(handle(request)));
  return {
    status: response.status,
    answer: await response.json(),
    registered,
    lines,
    ms: clock.now() - start,
    background,
    sent: () => sent,
    /** Lets go on what goes on after the answer; tells how long, and with what result. */
    finish: async () => [await clock.run(Promise.all(background)), clock.now() - start],
  };
}

for (const [what, body, seconds] of [
  ["no body", undefined, 55],
  ["an empty body", "", 55],
  ["the schedule's body", "{}", 55],
  ["a time to linger", '{"linger_seconds":3.5}', 3.5],
  ["no time to linger", '{"linger_seconds":0}', 0],
] as const) {
  Deno.test(`${what}: it delivers for ${seconds} seconds and says what came of it`, async () => {
    const { status, answer, ms, registered } = await post(body);
    assert.deepEqual([status, answer.sent, answer.failed, registered], [200, 1, 1, 1]);
    assert.ok(answer.claims >= 1);
    assert.equal(Math.round(ms / 1000), Math.round(seconds));
  });
}

Deno.test("the longest time leaves enough to end what is in flight before the runtime ends it all", async () => {
  const { ms } = await post('{"linger_seconds":140}');
  assert.equal(ms, 135_000);
});

Deno.test("in the background: it is answered at once, and delivers afterwards", async () => {
  const { status, answer, ms, registered, background, sent, finish } = await post('{"background":true}');
  assert.deepEqual([status, answer, ms, registered, background.length], [202, { accepted: true }, 0, 1, 1]);
  const [[totals], duration] = (await finish()) as [[{ sent: number; failed: number }], number];
  assert.deepEqual([totals.sent, totals.failed, sent(), duration], [1, 1, 2, 55_000]);
});

Deno.test("otherwise nothing goes on after the answer", async () => {
  assert.deepEqual((await post('{"background":false}')).background, []);
});

for (const [body, delivered] of [
  ["{}", 600],
  ['{"max_messages":5}', 5],
  ['{"max_messages":10000}', 700],
] as const) {
  Deno.test(`${body}: ${delivered} of 700 messages are delivered`, async () => {
    const { answer, sent } = await post(body, { count: 700 });
    assert.deepEqual([answer.sent + answer.failed, sent()], [delivered, delivered]);
  });
}

for (const [what, body, code] of [
  ["no message", '{"max_messages":0}', "invalid_request"],
  ["too many messages", '{"max_messages":10001}', "invalid_request"],
  ["half a message", '{"max_messages":1.5}', "invalid_request"],
  ["a background that is none", '{"background":"yes"}', "invalid_request"],
  ["too long a time", '{"linger_seconds":141}', "invalid_request"],
  ["a time before now", '{"linger_seconds":-1}', "invalid_request"],
  ["a time that is none", '{"linger_seconds":"25"}', "invalid_request"],
  ["no object", "[]", "invalid_request"],
  ["no JSON", "{", "invalid_json"],
] as const) {
  Deno.test(`${what} is a 400, and nothing is claimed`, async () => {
    const { status, answer, ms } = await post(body);
    assert.deepEqual([status, answer.error.code, ms], [400, code, 0]);
  });
}

Deno.test("without the secret key: 401, and nothing is claimed", async () => {
  for (const headers of [{}, { apikey: "sb_secret_of_another" }, { authorization: `Bearer ${KEY}` }]) {
    const { status, answer, registered } = await post(undefined, {
      headers: headers as Record<string, string>,
    });
    assert.deepEqual([status, answer.error.code, registered], [401, "unauthorized", 0]);
  }
});

Deno.test("another method is a 405", async () => {
  const { status, answer } = await post(undefined, { method: "GET" });
  assert.deepEqual([status, answer.error.code], [405, "method_not_allowed"]);
});

for (const [what, register] of [
  ["are refused", () => Promise.reject(new Error("away"))],
  ["do not get an answer", () => new Promise<void>(() => {})],
] as const) {
  Deno.test(`it delivers although the operator's channels ${what}`, async () => {
    const { status, answer, lines } = await post("{}", { register });
    assert.deepEqual([status, answer.sent, lines.length], [200, 1, 1]);
  });
}
