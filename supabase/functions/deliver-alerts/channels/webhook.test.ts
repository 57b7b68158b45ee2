import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { AlertMessage } from "../../_shared/alert_message.ts";
import { endpoint, notification, SECRET, signal } from "../testing.ts";
import { webhookChannel } from "./webhook.ts";

const OLD_SECRET = `whsec_${btoa("another secret, of before")}`;

/** The requests of so many attempts, a minute apart. */
async function attempts(count: number, changes: Record<string, unknown> = {}) {
  const { deps, sent } = endpoint();
  let now = Date.now() - 120_000; // the library, which checks signatures, has a clock of its own
  const send = webhookChannel({ ...deps, now: () => new Date(now) });
  const outcomes = [];
  for (let i = 0; i < count; i++) {
    const given = notification(1, { attempt: i + 1, ...structuredClone(changes) });
    outcomes.push(await send(AlertMessage.parse(given.payload), given, signal));
    now += 60_000;
  }
  return { sent, outcomes };
}

Deno.test("a webhook is signed as Standard Webhooks has it, by each secret", async () => {
  const config = { url: "https://hooks.test/x", secrets: [SECRET, OLD_SECRET] };
  const { sent, outcomes } = await attempts(1, { config });
  assert.deepEqual(outcomes, [{ ok: true }]);
  const [{ url, headers, body }] = sent as [(typeof sent)[number]];
  assert.equal(url, "https://hooks.test/x");
  assert.equal(headers["webhook-id"], notification(1).id);
  assert.equal(headers["content-type"], "application/json");
  assert.match(headers["webhook-signature"] ?? "", /^v1,\S+ v1,\S+$/);
  for (const secret of [SECRET, OLD_SECRET]) {
    const payload = new Webhook(secret).verify(body, headers) as Record<string, unknown>;
    assert.deepEqual([payload.type, payload.timestamp], ["alert.opened", notification(1).created_at]);
  }
  assert.throws(() => new Webhook(`whsec_${btoa("of somebody else")}`).verify(body, headers));
  assert.throws(() => new Webhook(SECRET).verify(body.replace("critical", "low"), headers));
});

Deno.test("over attempts id and body stay the same, byte for byte; time and signature do not", async () => {
  const { sent } = await attempts(3);
  const different = (of: (request: (typeof sent)[number]) => unknown) => new Set(sent.map(of)).size;
  assert.deepEqual(
    [
      different(({ body }) => body),
      different(({ headers }) => headers["webhook-id"]),
      different(({ headers }) => headers["webhook-timestamp"]),
      different(({ headers }) => headers["webhook-signature"]),
    ],
    [1, 1, 3, 3],
  );
});

for (const event of ["opened", "acknowledged", "resolved", "test"]) {
  Deno.test(`what is ${event} is of type alert.${event}`, async () => {
    const { alert } = notification(1).payload as { alert: unknown };
    const { sent } = await attempts(1, { payload: { event, alert } });
    assert.equal(JSON.parse(sent[0]?.body ?? "").type, `alert.${event}`);
  });
}

for (const [what, config] of Object.entries({
  "no URL": { secrets: [SECRET] },
  "no secret": { url: "https://hooks.test/x", secrets: [] },
  nothing: {},
})) {
  Deno.test(`a channel with ${what} sends nothing`, async () => {
    const { sent, outcomes } = await attempts(1, { config });
    assert.deepEqual([sent, outcomes[0]?.ok, "is_permanent" in (outcomes[0] ?? {})], [[], false, true]);
  });
}
