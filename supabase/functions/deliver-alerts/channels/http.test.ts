import assert from "node:assert/strict";
import { AlertMessage } from "../../_shared/alert_message.ts";
import { UrlRefused } from "../../_shared/guarded_fetch.ts";
import { endpoint, NOW, notification, signal } from "../testing.ts";
import { retryAfterSeconds } from "./http.ts";
import { pagerdutyChannel } from "./pagerduty.ts";
import { slackChannel } from "./slack.ts";
import { webhookChannel } from "./webhook.ts";

const SLACK_URL = "https://hooks.slack.com/services/T0/B0/secret";
const configs = {
  webhook: {},
  slack: { config: { webhook_url: SLACK_URL } },
  pagerduty: { config: { routing_key: "secretroutingkey" } },
};
const message = AlertMessage.parse(notification(1).payload);

/** What becomes of an alert at an endpoint that answers so. */
function outcome(type: keyof typeof configs, answer: Parameters<typeof endpoint>[0], stopped = signal) {
  const { deps } = endpoint(answer);
  const channels = {
    webhook: webhookChannel(deps),
    slack: slackChannel(deps),
    pagerduty: pagerdutyChannel({ ...deps, url: "https://events.pagerduty.test/v2/enqueue" }),
  };
  return channels[type](message, notification(1, configs[type]), stopped);
}
const facts = async (...of: Parameters<typeof outcome>) => {
  const result = await outcome(...of);
  assert.doesNotMatch(JSON.stringify(result), /secret/);
  if (result.ok) return "ok";
  const { ok: _, error, ...rest } = result;
  assert.ok(error.length > 0 && error.length <= 300);
  return rest;
};
const types = Object.keys(configs) as (keyof typeof configs)[];

for (const type of types) {
  for (const status of [200, 201, 202, 204]) {
    Deno.test(`${type}: ${status} is delivered`, async () =>
      assert.equal(await facts(type, { status }), "ok"));
  }
  for (const status of [408, 425, 429, 500, 502, 503, 504, 599]) {
    Deno.test(`${type}: ${status} is tried again, and the channel waits`, async () => {
      assert.deepEqual(await facts(type, { status }), { blocks_channel: true });
      const later = { blocks_channel: true, retry_after_seconds: 120 };
      assert.deepEqual(await facts(type, { status, retryAfter: "120" }), later);
    });
  }
  Deno.test(`${type}: 410 is gone`, async () => {
    assert.deepEqual(await facts(type, { status: 410 }), { is_gone: true });
  });
  for (const status of [301, 302, 307, 308, 304]) {
    Deno.test(`${type}: a redirect (${status}) is not followed, and tried again`, async () => {
      assert.deepEqual(await facts(type, { status }), {});
    });
  }
  Deno.test(`${type}: a URL that is refused is refused for good`, async () => {
    assert.deepEqual(await facts(type, new UrlRefused("No.")), { is_permanent: true });
  });
  Deno.test(`${type}: a failure of the network is tried again, by its code`, async () => {
    const error = Object.assign(new Error(`connect 10.0.0.1 ${SLACK_URL}`), { code: "ECONNREFUSED" });
    assert.deepEqual(await facts(type, error), { blocks_channel: true });
    const result = await outcome(type, error);
    assert.equal("error" in result && result.error, "The endpoint cannot be reached (ECONNREFUSED).");
  });
  Deno.test(`${type}: what was stopped came too late`, async () => {
    const result = await outcome(type, new Error("aborted"), AbortSignal.abort());
    assert.equal("error" in result && result.error, "There was no answer in time.");
  });
}

for (const status of [400, 401, 403, 404, 405, 422]) {
  Deno.test(`a customer's webhook that answers ${status} is tried again, and blocks no others`, async () => {
    assert.deepEqual(await facts("webhook", { status }), {});
  });
}

for (const [status, body, error] of [
  [400, "invalid_payload", "Slack answered 400: invalid_payload."],
  [403, "action_prohibited\n", "Slack answered 403: action_prohibited."],
  [404, "no_service", "Slack answered 404: no_service."],
  [404, `<p>${SLACK_URL}</p>`, "The endpoint answered 404."],
] as const) {
  Deno.test(`Slack: ${status} ${body.slice(0, 20)} is for good`, async () => {
    assert.deepEqual(await facts("slack", { status, body }), { is_permanent: true });
    const result = await outcome("slack", { status, body });
    assert.equal("error" in result && result.error, error);
  });
}

Deno.test("PagerDuty: 400 is for good, another refusal is not", async () => {
  assert.deepEqual(await facts("pagerduty", { status: 400 }), { is_permanent: true });
  assert.deepEqual(await facts("pagerduty", { status: 403 }), {});
});

for (const [header, seconds] of [
  ["0", 0],
  ["120", 120],
  [" 7 ", 7],
  ["999999999999", 86_400],
  ["Sun, 01 Mar 2026 12:01:30 GMT", 90],
  ["Sun, 01 Mar 2026 11:00:00 GMT", 0],
  ["Sun, 01 Mar 2027 12:00:00 GMT", 86_400],
  ["soon", null],
  ["", null],
  ["-5e", null],
  [null, null],
] as const) {
  Deno.test(`Retry-After: ${header} is ${seconds}`, () =>
    assert.equal(retryAfterSeconds(header, NOW), seconds));
}
