import { apart, builders, failure, textOf, type Values } from "./audit_table.ts";
import { iso, type Time } from "./time.ts";

/**
 * The trials of an application that runs them itself. Those of Meterbase's tenants are told by the database already, in the
 * same words. Like all builders it throws what `logAuditEvent` throws: an event that could not be recorded is an error.
 */
export const TrialAudit = builders((tenantId) => ({ entity_type: "tenant", entity_id: tenantId }), {
  /** `email`, `ip_address` and `user_agent` are kept as personal data. */
  created: (data: Values) => ({
    event_type: "trial_created",
    action: "created",
    ...apart("new_values", data),
  }),
  upgraded: (from: string, to: string) => ({
    event_type: "trial_upgraded",
    action: "upgraded",
    old_values: { plan_id: from },
    new_values: { plan_id: to },
  }),
  extended: (days: number, newExpiryDate: Time) => ({
    event_type: "trial_extended",
    action: "extended",
    new_values: { trial_ends_at: iso(newExpiryDate) },
    metadata: { days },
  }),
  expired: () => ({ event_type: "trial_expired", action: "expired" }),
  cancelled: (reason: string) => ({
    event_type: "trial_cancelled",
    action: "cancelled",
    metadata: { reason: textOf(reason) },
  }),
});
export type TrialAudit = InstanceType<typeof TrialAudit>;

/** Knowledge bases and what they are filled with. */
export const KBAudit = builders(() => ({ entity_type: "kb" }), {
  /** `size` in bytes. */
  uploaded: (kbId: string, filename: string, size: number) => ({
    event_type: "kb_uploaded",
    action: "uploaded",
    entity_id: kbId,
    metadata: { filename, size_bytes: size },
  }),
  /** Of the error, the first 500 characters of its message are kept, without e-mail addresses. */
  uploadFailed: (filename: string, error: unknown) => ({
    event_type: "kb_upload_failed",
    action: "uploaded",
    ...failure("error", error),
    metadata: { filename },
  }),
  crawled: (jobId: string, startUrl: string, pagesCount: number) => ({
    event_type: "kb_crawled",
    action: "crawled",
    entity_type: "kb_crawl",
    entity_id: jobId,
    metadata: { start_url: startUrl, pages_count: pagesCount },
  }),
  /** How many sections, or which. */
  manualAdded: (kbId: string, sections: number | string[]) => ({
    event_type: "kb_manual_added",
    action: "added",
    entity_id: kbId,
    metadata: { sections },
  }),
  deleted: (kbId: string) => ({ event_type: "kb_deleted", action: "deleted", entity_id: kbId }),
});
export type KBAudit = InstanceType<typeof KBAudit>;
export { KBAudit as KBaudit };

/** Chat sessions. What was said is not recorded, only how much. */
export const ChatAudit = builders(() => ({ entity_type: "session" }), {
  /** The visitor's id is a pseudonym: no e-mail address. */
  sessionCreated: (sessionId: string, visitorId: string) => ({
    event_type: "chat_session_created",
    action: "created",
    entity_id: sessionId,
    metadata: { visitor_id: visitorId },
  }),
  /** The length in characters. */
  messageReceived: (sessionId: string, messageLength: number) => ({
    event_type: "chat_message_received",
    action: "received",
    entity_id: sessionId,
    metadata: { message_length: messageLength },
  }),
  responseSent: (sessionId: string, tokens: number) => ({
    event_type: "chat_response_sent",
    action: "sent",
    entity_id: sessionId,
    metadata: { tokens },
  }),
  /** In milliseconds. */
  sessionEnded: (sessionId: string, durationMs: number) => ({
    event_type: "chat_session_ended",
    action: "ended",
    entity_id: sessionId,
    metadata: { duration_ms: durationMs },
  }),
});
export type ChatAudit = InstanceType<typeof ChatAudit>;

/** How a tenant's widget is set up. */
export const ConfigAudit = builders(() => ({ entity_type: "config" }), {
  /** The new values of what changed; the old ones may be given as `old_values` of the details. */
  brandingUpdated: (configId: string, changes: Values) => ({
    event_type: "config_branding_updated",
    action: "updated",
    entity_id: configId,
    ...apart("new_values", changes),
    changes_summary: Object.keys(changes).join(", "),
  }),
  toolsAssigned: (configId: string, tools: string[]) => ({
    event_type: "config_tools_assigned",
    action: "assigned",
    entity_id: configId,
    new_values: { tools },
  }),
  widgetGenerated: (configId: string, widgetCode: string) => ({
    event_type: "config_widget_generated",
    action: "generated",
    entity_id: configId,
    metadata: { widget_code: widgetCode },
  }),
});
export type ConfigAudit = InstanceType<typeof ConfigAudit>;

/** What went wrong. Of errors, the first 500 characters of their message are kept, without e-mail addresses. */
export const ErrorAudit = builders(() => ({}), {
  apiError: (endpoint: string, statusCode: number, error: unknown) => ({
    event_type: "api_error",
    action: "failed",
    entity_type: "api_endpoint",
    entity_id: endpoint,
    ...failure("error", error),
    metadata: { status_code: statusCode },
  }),
  /** What Meterbase's own quotas refuse, the database tells already. */
  quotaExceeded: (quotaType: string, limit: number, used: number) => ({
    event_type: "quota_exceeded",
    action: "denied",
    entity_type: "metric",
    entity_id: quotaType,
    ...failure("warning"),
    new_values: { limit, used },
  }),
  /** `email`, `ip_address` and `user_agent` of the details are kept as personal data. */
  securityViolation: (violation: string, details: Values) => ({
    event_type: "security_violation",
    action: "detected",
    ...failure("critical", violation),
    ...apart("metadata", details),
  }),
});
export type ErrorAudit = InstanceType<typeof ErrorAudit>;
