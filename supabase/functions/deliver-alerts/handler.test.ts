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
  } = {},
) {
  const clock = virtualClock();
  const start = clock.now();
  let due = [notification(1), notification(2)];
  let registered = 0;
  const handle = withErrors((request) =>
    handleDelivery(request, {
      secretKey: KEY,
      clock,
      outbox: {
        claim: () => {
          const claimed = due;
          due = [];
          return Promise.resolve(claimed);
        },
        complete: () => Promise.resolve(),
      },
      send: ({ id }) =>
        Promise.resolve(id === notification(1).id ? { ok: true } : { ok: false, error: "no" }),
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

for (const [what, body, code] of [
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
