import assert from "node:assert/strict";
import { logged } from "../_shared/testing.ts";
import type { Outcome } from "./outbox.ts";
import { type Channels, createSend, DEADLINE_MS } from "./send.ts";
import { alert, notification, virtualClock } from "./testing.ts";

/** Sends one message through channels that do as told, and says which took it. */
async function send(
  changes: Record<string, unknown>,
  {
    siteUrl = "https://app.test" as string | null,
    answer = (_signal: AbortSignal): Promise<Outcome> => Promise.resolve({ ok: true }),
  } = {},
) {
  const taken: [string, unknown][] = [];
  const take =
    (type: string) =>
    (message: unknown, _notification: unknown, signal: AbortSignal): Promise<Outcome> => {
      taken.push([type, message]);
      return answer(signal);
    };
  const types = ["email", "slack", "webhook", "pagerduty", "console"];
  const channels = Object.fromEntries(types.map((type) => [type, take(type)])) as unknown as Channels;
  const clock = virtualClock();
  const start = clock.now();
  const sending = createSend({ channels, siteUrl, clock })(notification(1, changes));
  const { result: outcome, lines } = await logged(() => clock.run(sending));
  return { outcome, taken, lines, ms: clock.now() - start };
}

for (const type of ["slack", "webhook", "pagerduty", "console"]) {
  Deno.test(`an alert for ${type} goes there`, async () => {
    const { outcome, taken } = await send({ channel_type: type });
    assert.deepEqual([outcome, taken.map(([name]) => name)], [{ ok: true }, [type]]);
  });
}

Deno.test("an alert by e-mail is a mail", async () => {
  const { taken } = await send({ channel_type: "email", recipient: "a@b.test" });
  const [[type, mail]] = taken as [[string, { subject: string; text: string; html: string }]];
  assert.deepEqual([type, mail.subject], ["email", "[CRITICAL] Payment Failed: Acme"]);
  assert.match(mail.text, /Monthly subscription payment failed/);
  assert.match(mail.html, /<html>/);
});

const invite = {
  kind: "invite",
  channel_type: "email",
  recipient: "a@b.test",
  payload: { tenant_name: "Acme", role: "editor", token: "inv_1" },
};
Deno.test("an invite is a mail with a link into the site", async () => {
  const { taken } = await send(invite);
  assert.match(
    (taken[0]?.[1] as { text: string } | undefined)?.text ?? "",
    /https:\/\/app\.test\/invites\/accept\?token=inv_1/,
  );
});

Deno.test("without a site an invite waits, and holds up no other mail", async () => {
  const { outcome, taken } = await send(invite, { siteUrl: null });
  assert.deepEqual(taken, []);
  assert.deepEqual(Object.keys(outcome).sort(), ["error", "ok"]);
});

Deno.test("billing is a mail", async () => {
  const payload = { template: "payment_failed", key: "k", tenant_name: "Acme" };
  const { taken } = await send({ kind: "billing", channel_type: "email", recipient: "a@b.test", payload });
  assert.equal((taken[0]?.[1] as { subject: string } | undefined)?.subject, "Your payment failed: Acme");
});

Deno.test("a mail to nobody will never be sent, whatever the channel would say, or the site lacks", async () => {
  const answer = () => Promise.resolve<Outcome>({ ok: false, error: "no", blocks_channel: true });
  for (const changes of [
    invite,
    { channel_type: "email" },
    {
      kind: "billing",
      channel_type: "email",
      payload: { template: "payment_failed", key: "k", tenant_name: "Acme" },
    },
  ]) {
    const { outcome, taken } = await send({ ...changes, recipient: null }, { answer, siteUrl: null });
    assert.deepEqual([outcome.ok, "is_permanent" in outcome, taken], [false, true, []]);
  }
});

for (const [what, changes] of Object.entries({
  "an alert without an alert": { payload: { event: "opened" } },
  "an event that there is not": { payload: { event: "closed", alert: alert() } },
  "a channel that there is not": { channel_type: "pigeon" },
  "a channel that every object has": { channel_type: "constructor" },
  "an invite whose token is forgotten": { ...invite, payload: { tenant_name: "Acme", role: "editor" } },
  "a billing mail without a template": { kind: "billing", payload: {} },
})) {
  Deno.test(`${what} will never be sent`, async () => {
    const { outcome, taken } = await send(changes);
    assert.deepEqual([outcome.ok, "is_permanent" in outcome, taken], [false, true, []]);
  });
}

Deno.test("a channel that throws has failed, and what it threw is told to nobody", async () => {
  const answer = () => Promise.reject(new Error("https://hooks.slack.com/services/secret"));
  const { outcome, lines } = await send({}, { answer });
  assert.equal(outcome.ok, false);
  assert.doesNotMatch(JSON.stringify([outcome, lines]), /secret/);
});

Deno.test("a channel that does not come back is told to stop, and then left", async () => {
  let stopped = false;
  const answer = (signal: AbortSignal) => {
    signal.addEventListener("abort", () => {
      stopped = true;
    });
    return new Promise<Outcome>(() => {});
  };
  const { outcome, ms } = await send({}, { answer });
  assert.deepEqual([stopped, outcome.ok, "blocks_channel" in outcome], [true, false, true]);
  assert.ok(ms >= DEADLINE_MS && ms <= DEADLINE_MS + 500, String(ms));
});

Deno.test("what a channel says when it is told to stop counts", async () => {
  const answer = (signal: AbortSignal) =>
    new Promise<Outcome>((resolve) => signal.addEventListener("abort", () => resolve({ ok: true })));
  assert.deepEqual((await send({}, { answer })).outcome, { ok: true });
});
