import assert from "node:assert/strict";
import { readAlertsEnv } from "../_shared/env.ts";
import { operatorChannels } from "./operator_channels.ts";

const of = (env: Record<string, string>) => operatorChannels(readAlertsEnv(env).operator);

Deno.test("without an environment the operator has no channels", () => assert.deepEqual(of({}), []));

Deno.test("each kind of channel", () => {
  assert.deepEqual(
    of({
      ENABLE_EMAIL_ALERTS: "true",
      ALERT_EMAIL: "a@example.com,b@example.com",
      SLACK_WEBHOOK_URL: "https://hooks.slack.com/services/x",
      SLACK_CHANNEL: "#alerts",
      CUSTOM_WEBHOOKS: "https://one.test/hook",
      PAGERDUTY_SERVICE_KEY: "pagerduty_key",
    }),
    [
      { type: "email", name: "E-mail", config: { recipients: ["a@example.com", "b@example.com"] } },
      {
        type: "slack",
        name: "Slack",
        config: { webhook_url: "https://hooks.slack.com/services/x", channel: "#alerts" },
      },
      { type: "webhook", name: "one.test/hook", config: { url: "https://one.test/hook" } },
      {
        type: "pagerduty",
        name: "PagerDuty",
        config: { routing_key: "pagerduty_key" },
        min_severity: "critical",
      },
    ],
  );
});

Deno.test("webhooks are told apart by their place, then by number; a query may be a secret", () => {
  const urls = [
    "https://a.test/x?key=1",
    "https://a.test/x?key=2",
    "https://a.test/x?key=1",
    `https://b.test/${"y".repeat(200)}`,
  ];
  const channels = of({ CUSTOM_WEBHOOKS: urls.join(",") });
  assert.deepEqual(channels.map(({ name }) => name).slice(0, 2), ["a.test/x", "a.test/x (2)"]);
  assert.equal(channels.length, 3);
  assert.ok(channels.every(({ name }) => name.length <= 100));
});
