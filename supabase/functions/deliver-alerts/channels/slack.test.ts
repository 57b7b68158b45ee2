import assert from "node:assert/strict";
import { AlertMessage } from "../../_shared/alert_message.ts";
import { logged } from "../../_shared/testing.ts";
import { endpoint, NOW, notification, signal } from "../testing.ts";
import { consoleChannel } from "./console.ts";
import { pagerdutyChannel } from "./pagerduty.ts";
import { slackChannel } from "./slack.ts";

const message = AlertMessage.parse(notification(1).payload);
const sentBy = async (
  channel: typeof slackChannel,
  config: Record<string, unknown>,
): Promise<{ url: string; body: Record<string, unknown> }[]> => {
  const { deps, sent } = endpoint();
  await channel(deps)(message, notification(1, { config }), signal);
  return sent.map(({ url, body }) => ({ url, body: JSON.parse(body) }));
};

Deno.test("Slack gets blocks at its URL, for a channel if one is named", async () => {
  const webhook_url = "https://hooks.slack.com/services/x";
  const [first] = await sentBy(slackChannel, { webhook_url, channel: "#alerts" });
  assert.deepEqual([first?.url, first?.body.channel], [webhook_url, "#alerts"]);
  assert.equal((first?.body.blocks as unknown[] | undefined)?.length, 4);
  for (const channel of [undefined, null]) {
    const [other] = await sentBy(slackChannel, { webhook_url, channel });
    assert.equal("channel" in (other?.body ?? { channel }), false);
  }
  assert.deepEqual(await sentBy(slackChannel, {}), []);
});

Deno.test("PagerDuty gets an event with the routing key", async () => {
  const url = "https://events.pagerduty.test/v2/enqueue";
  const channel: typeof slackChannel = (deps) => pagerdutyChannel({ ...deps, url });
  const [sent] = await sentBy(channel, { routing_key: "key" });
  assert.deepEqual(
    [sent?.url, sent?.body.routing_key, sent?.body.event_action, sent?.body.dedup_key],
    [url, "key", "trigger", message.alert.id],
  );
  assert.deepEqual(await sentBy(channel, {}), []);
});

/** What PagerDuty is sent of a test, where it answers so: one status a request. */
async function testOf(...statuses: number[]) {
  const sent: Record<string, unknown>[] = [];
  const channel = pagerdutyChannel({
    post: (_url, { body }) => {
      sent.push(JSON.parse(body));
      return Promise.resolve({ status: statuses[sent.length - 1] ?? 500, retryAfter: null, body: "" });
    },
    now: () => NOW,
    url: "https://events.pagerduty.test/v2/enqueue",
  });
  const given = notification(1, { config: { routing_key: "key" } });
  const outcome = await channel({ ...message, event: "test" }, given, signal);
  return { outcome, sent };
}

Deno.test("PagerDuty: a test leaves no incident open", async () => {
  const { outcome, sent } = await testOf(202, 202);
  assert.deepEqual(outcome, { ok: true });
  assert.deepEqual(
    sent.map(({ routing_key, event_action, dedup_key }) => [routing_key, event_action, dedup_key]),
    [
      ["key", "trigger", message.alert.id],
      ["key", "resolve", message.alert.id],
    ],
  );
});

Deno.test("PagerDuty: a test that is refused resolves nothing; one that stays open has failed", async () => {
  const refused = await testOf(400, 202);
  assert.deepEqual([refused.outcome.ok, refused.sent.length], [false, 1]);
  const open = await testOf(202, 429);
  assert.deepEqual([open.outcome.ok, open.sent.length], [false, 2]);
});

Deno.test("the console gets one line", async () => {
  const { result, lines } = await logged(() => consoleChannel(message, notification(1), signal));
  assert.deepEqual(result, { ok: true });
  const [line, ...others] = lines;
  assert.deepEqual(
    [line?.msg, line?.severity, line?.title, line?.alert_id, others],
    ["Alert", "critical", "Payment Failed", message.alert.id, []],
  );
});
