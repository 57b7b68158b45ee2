import assert from "node:assert/strict";
import {
  AlertMessage,
  htmlOf,
  oneLine,
  pagerdutyEvent,
  readableTime,
  slackBlocks,
  subjectOf,
  textOf,
  webhookBody,
} from "./alert_message.ts";

const ID = "018f0000-0000-7000-8000-0000000000a1";
const message = (alert: Record<string, unknown> = {}, event = "opened") =>
  AlertMessage.parse({
    event,
    alert: {
      id: ID,
      tenant_id: "018f0000-0000-7000-8000-000000000001",
      tenant_name: "Acme",
      rule_id: null,
      rule_name: "Usage",
      type: "usage_threshold",
      severity: "medium",
      title: "API Usage Warning",
      message: "API usage at 85% of quota.",
      data: { usage: { current: 4250, quota: 5000, percentage: 85 } },
      action_required: false,
      status: "open",
      dedup_key: "usage_threshold:x",
      occurrences: 1,
      opened_at: "2026-03-01T12:00:00.5+00:00",
      acknowledged_at: null,
      resolved_at: null,
      resolution_note: null,
      ...alert,
    },
  });
const resolved = message(
  { status: "resolved", resolved_at: "2026-03-01T13:00:00+00:00", resolution_note: "Upgraded." },
  "resolved",
);
const HOSTILE = "</p>\r\nBcc: x@y.z\u2028<script>alert('1')</script> & <!channel> \u202e\"";
const hostile = message({
  title: HOSTILE,
  message: HOSTILE,
  tenant_name: HOSTILE,
  data: { [HOSTILE]: HOSTILE },
});

Deno.test("a subject says how bad it is, what, and whose", () => {
  assert.equal(subjectOf(message()), "[MEDIUM] API Usage Warning: Acme");
  assert.equal(subjectOf(message({ tenant_name: null })), "[MEDIUM] API Usage Warning");
  assert.equal(subjectOf(resolved), "[RESOLVED] API Usage Warning: Acme");
  assert.equal(subjectOf(message({}, "test")), "[TEST] API Usage Warning: Acme");
});

Deno.test("a subject is one line, whatever a tenant calls itself", () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these
  assert.doesNotMatch(subjectOf(hostile), /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
  assert.equal(subjectOf(message({ title: "x".repeat(1000) })).length, 200);
});

Deno.test("a line is cut by characters", () => {
  assert.equal(oneLine("a\r\nb\tc\u0000d", 10), "a b c d");
  assert.equal(oneLine("12345", 5), "12345");
  assert.equal(oneLine("123456", 5), "1234…");
  assert.equal(oneLine("123😀56", 5), "123…");
});

Deno.test("a time is readable, and what is none is left", () => {
  assert.equal(readableTime("2026-03-01T12:00:00.5+01:00"), "2026-03-01 11:00:00 UTC");
  assert.equal(readableTime("soon"), "soon");
});

Deno.test("a text tells all that there is", () => {
  assert.equal(
    textOf(resolved),
    [
      "API Usage Warning",
      "",
      "API usage at 85% of quota.",
      "",
      "Severity: medium",
      "Tenant: Acme",
      "Type: usage_threshold",
      "Rule: Usage",
      "Opened: 2026-03-01 12:00:00 UTC",
      "Resolved: 2026-03-01 13:00:00 UTC",
      "Note: Upgraded.",
      'usage: {"current":4250,"quota":5000,"percentage":85}',
    ].join("\n"),
  );
});

Deno.test("nothing that somebody typed is HTML", () => {
  const html = htmlOf(hostile);
  assert.doesNotMatch(html, /<script|<\/p>\r|<!channel/);
  assert.equal(html.match(/&#60;script&#62;alert\(&#39;1&#39;\)/g)?.length, 5);
  assert.match(htmlOf(message()), /<h1[^>]*>API Usage Warning<\/h1>/);
});

Deno.test("a message for Slack has a header, a section, fields and a context", () => {
  const slack = slackBlocks(message(), "#billing-alerts");
  assert.equal(slack.channel, "#billing-alerts");
  assert.equal(slack.text, "🟡 [MEDIUM] API Usage Warning: Acme");
  assert.deepEqual(
    slack.blocks.map(({ type }) => type),
    ["header", "section", "section", "context"],
  );
  assert.equal("channel" in slackBlocks(message()), false);
});

Deno.test("what is resolved reads so in Slack", () => {
  const { text, blocks } = slackBlocks(resolved);
  assert.match(text, /^✅ \[RESOLVED\]/);
  assert.match(JSON.stringify(blocks[0]), /✅ \[RESOLVED\]/);
  assert.match(JSON.stringify(blocks), /Upgraded\./);
});

Deno.test("nobody is mentioned in Slack, and no block is longer than it takes", () => {
  const { text, blocks } = slackBlocks(hostile);
  const [header, ...others] = blocks;
  assert.doesNotMatch(text + JSON.stringify(others), /<!|<script/);
  assert.match(JSON.stringify(header), /"plain_text"/);

  const long = slackBlocks(
    message({
      title: "😀".repeat(500),
      message: "&".repeat(9000),
      data: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`${i}`.repeat(400), "<".repeat(9000)])),
    }),
  );
  const [head, section, fields] = long.blocks as {
    text: { text: string };
    fields: { text: string }[];
  }[];
  assert.ok((head?.text.text.length ?? 999) <= 150);
  assert.ok((section?.text.text.length ?? 9999) <= 3000);
  assert.match(section?.text.text ?? "", /&amp;…$/);
  assert.ok((fields?.fields.length ?? 99) <= 10);
  for (const { text } of fields?.fields ?? []) assert.ok(text.length <= 2000);
});

for (const [event, action] of [
  ["opened", "trigger"],
  ["acknowledged", "acknowledge"],
  ["resolved", "resolve"],
  ["test", "trigger"],
] as const) {
  Deno.test(`${event} is PagerDuty's ${action}, of this episode`, () => {
    const { event_action, dedup_key, payload } = pagerdutyEvent(message({}, event));
    assert.deepEqual([event_action, dedup_key, payload !== undefined], [action, ID, action === "trigger"]);
  });
}

for (const [severity, theirs] of [
  ["critical", "critical"],
  ["high", "error"],
  ["medium", "warning"],
  ["low", "info"],
] as const) {
  Deno.test(`${severity} is PagerDuty's ${theirs}; of a test it is info`, () => {
    assert.equal(pagerdutyEvent(message({ severity })).payload?.severity, theirs);
    assert.equal(pagerdutyEvent(message({ severity }, "test")).payload?.severity, "info");
  });
}

Deno.test("a webhook's body is the alert, whole, and the same each time", () => {
  const at = "2026-03-01T12:00:01+00:00";
  const given = message({ more: { of: "it" } });
  const body = webhookBody(given, at);
  assert.deepEqual(body, { type: "alert.opened", timestamp: at, data: given.alert });
  assert.deepEqual(body.data.more, { of: "it" });
  assert.equal(
    JSON.stringify(body),
    JSON.stringify(webhookBody(AlertMessage.parse(structuredClone(given)), at)),
  );
});
