import { expect, test } from "vitest";
import { ChatAudit, ConfigAudit, ErrorAudit, KBAudit, KBaudit, TrialAudit } from "./audit_builders.ts";
import type { NewAuditEvent } from "./audit_event.ts";
import type { AuditDetails } from "./audit_table.ts";
import { PermissionError } from "./errors.ts";

const logged: [string | null, NewAuditEvent][] = [];
const audit = {
  logAuditEvent: async (...args: [string | null, NewAuditEvent]) => `id ${logged.push(args)}`,
};
const trial = new TrialAudit(audit);
const kb = new KBAudit(audit);
const chat = new ChatAudit({ audit });
const config = new ConfigAudit({ audit });
const error = new ErrorAudit(audit);

const tenant = { entity_type: "tenant", entity_id: "t" };
const base = { entity_type: "kb", entity_id: "k" };
const session = { entity_type: "session", entity_id: "s" };
const widget = { entity_type: "config", entity_id: "c" };
const failed = { severity: "error", result: "failure" } as const;
const url = "https://example.com/";

type Log = (details: AuditDetails) => Promise<string>;
/** Event type, action, the rest of what is expected, and the call. */
const cases: [string, string, AuditDetails, Log][] = [
  ["trial_created", "created", { ...tenant, new_values: { a: 1 } }, (d) => trial.created("t", { a: 1 }, d)],
  [
    "trial_upgraded",
    "upgraded",
    { ...tenant, old_values: { plan_id: "trial" }, new_values: { plan_id: "pro" } },
    (d) => trial.upgraded("t", "trial", "pro", d),
  ],
  [
    "trial_extended",
    "extended",
    { ...tenant, new_values: { trial_ends_at: "1970-01-01T00:00:00.000Z" }, metadata: { days: 7 } },
    (d) => trial.extended("t", 7, new Date(0), d),
  ],
  ["trial_expired", "expired", tenant, (d) => trial.expired("t", d)],
  [
    "trial_cancelled",
    "cancelled",
    { ...tenant, metadata: { reason: "too dear, says [e-mail]" } },
    (d) => trial.cancelled("t", "too dear, says a@b.example", d),
  ],
  [
    "kb_uploaded",
    "uploaded",
    { ...base, metadata: { filename: "a.pdf", size_bytes: 10 } },
    (d) => kb.uploaded("t", "k", "a.pdf", 10, d),
  ],
  [
    "kb_upload_failed",
    "uploaded",
    { entity_type: "kb", ...failed, error_message: "full", metadata: { filename: "a.pdf" } },
    (d) => kb.uploadFailed("t", "a.pdf", new Error("full"), d),
  ],
  [
    "kb_crawled",
    "crawled",
    { entity_type: "kb_crawl", entity_id: "j", metadata: { start_url: url, pages_count: 3 } },
    (d) => kb.crawled("t", "j", url, 3, d),
  ],
  ["kb_manual_added", "added", { ...base, metadata: { sections: 2 } }, (d) => kb.manualAdded("t", "k", 2, d)],
  ["kb_deleted", "deleted", base, (d) => kb.deleted("t", "k", d)],
  [
    "chat_session_created",
    "created",
    { ...session, metadata: { visitor_id: "v" } },
    (d) => chat.sessionCreated("t", "s", "v", d),
  ],
  [
    "chat_message_received",
    "received",
    { ...session, metadata: { message_length: 4 } },
    (d) => chat.messageReceived("t", "s", 4, d),
  ],
  [
    "chat_response_sent",
    "sent",
    { ...session, metadata: { tokens: 5 } },
    (d) => chat.responseSent("t", "s", 5, d),
  ],
  [
    "chat_session_ended",
    "ended",
    { ...session, metadata: { duration_ms: 6 } },
    (d) => chat.sessionEnded("t", "s", 6, d),
  ],
  [
    "config_branding_updated",
    "updated",
    { ...widget, new_values: { color: "red", logo: null }, changes_summary: "color, logo" },
    (d) => config.brandingUpdated("t", "c", { color: "red", logo: null }, d),
  ],
  [
    "config_tools_assigned",
    "assigned",
    { ...widget, new_values: { tools: ["search"] } },
    (d) => config.toolsAssigned("t", "c", ["search"], d),
  ],
  [
    "config_widget_generated",
    "generated",
    { ...widget, metadata: { widget_code: "<i>" } },
    (d) => config.widgetGenerated("t", "c", "<i>", d),
  ],
  [
    "api_error",
    "failed",
    {
      entity_type: "api_endpoint",
      entity_id: "/chat",
      ...failed,
      error_message: "bad",
      metadata: { status_code: 502 },
    },
    (d) => error.apiError("t", "/chat", 502, "bad", d),
  ],
  [
    "quota_exceeded",
    "denied",
    {
      entity_type: "metric",
      entity_id: "tokens",
      ...failed,
      severity: "warning",
      new_values: { limit: 9, used: 11 },
    },
    (d) => error.quotaExceeded("t", "tokens", 9, 11, d),
  ],
  [
    "security_violation",
    "detected",
    { ...failed, severity: "critical", error_message: "token_forged", metadata: { path: "/x" } },
    (d) => error.securityViolation("t", "token_forged", { path: "/x" }, d),
  ],
];

test.each(cases)("%s says what was %s, and what the caller adds", async (event_type, action, rest, log) => {
  const expected = { event_type, action, ...rest };
  expect(await log({})).toBe(`id ${logged.length}`);
  expect(logged.at(-1)).toEqual(["t", expected]);
  const personal = { email: "a@b.example" };
  await log({ event_id: "e", metadata: { more: 1 }, personal });
  const metadata = { ...expected.metadata, more: 1 };
  expect(logged.at(-1)).toEqual(["t", { ...expected, event_id: "e", metadata, personal }]);
});

test("personal data among values is kept apart, beside the caller's own", async () => {
  const values = { email: "a@b.example", ip_address: "192.0.2.1", user_agent: "curl", plan: "pro" };
  const { plan, ...personal } = values;
  await trial.created("t", values);
  await config.brandingUpdated("t", "c", values);
  await error.securityViolation("t", "v", values, { personal: { name: "A" } });
  const kept = logged.slice(-3).map(([, event]) => [event.new_values ?? event.metadata, event.personal]);
  expect(kept).toEqual([
    [{ plan }, personal],
    [{ plan }, personal],
    [{ plan }, { ...personal, name: "A" }],
  ]);
});

test.each([
  [new Error("no user bob@example.com, or <a.b+c@d.example>"), "no user [e-mail] or [e-mail]"],
  ["pkg@1.2.3 and @scope/pkg", "pkg@1.2.3 and @scope/pkg"],
  [undefined, undefined],
  [null, "null"],
  ["x".repeat(600), "x".repeat(500)],
])("the message of %o is kept without addresses, 500 characters at most", async (thrown, message) => {
  await error.apiError("t", "/", 500, thrown);
  expect(logged.at(-1)?.[1].error_message).toBe(message);
});

test("what the caller knows better stands", async () => {
  await kb.deleted("t", "k", { severity: "critical", actor_type: "visitor", actor_id: "v" });
  expect(logged.at(-1)?.[1]).toMatchObject({ severity: "critical", actor_type: "visitor", actor_id: "v" });
});

test("an event that cannot be recorded is the caller's to know", async () => {
  const refused = new PermissionError("permission_denied", 403, "no");
  const closed = new KBaudit({ logAuditEvent: () => Promise.reject(refused) });
  await expect(closed.deleted("t", "k")).rejects.toBe(refused);
});
