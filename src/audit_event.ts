import { z } from "zod";
import type { Json } from "./database.types.ts";
import type { Time } from "./time.ts";

export const AuditActor = z.enum(["system", "admin", "tenant", "visitor", "api_key"]);
export type AuditActor = z.infer<typeof AuditActor>;
export const AuditSeverity = z.enum(["info", "warning", "error", "critical"]);
export type AuditSeverity = z.infer<typeof AuditSeverity>;
export const AuditResult = z.enum(["success", "failure", "partial"]);
export type AuditResult = z.infer<typeof AuditResult>;

/**
 * What was done, by whom, to what, and how it ended; it never changes. `source`: whether the database saw it happen, or the
 * application told of it. `personal`, `ip_address` and `user_agent` are null once erased. `resolved_at` null: not resolved.
 */
export const AuditEvent = z.object({
  event_id: z.string(),
  occurred_at: z.string(),
  tenant_id: z.string().nullable(),
  event_type: z.string(),
  action: z.string(),
  entity_type: z.string().nullable(),
  entity_id: z.string().nullable(),
  actor_type: AuditActor,
  actor_id: z.string().nullable(),
  source: z.enum(["database", "application"]),
  severity: AuditSeverity,
  result: AuditResult,
  old_values: z.json(),
  new_values: z.json(),
  changes_summary: z.string().nullable(),
  error_message: z.string().nullable(),
  ip_address: z.string().nullable(),
  user_agent: z.string().nullable(),
  request_id: z.string().nullable(),
  metadata: z.json(),
  personal: z.json(),
  resolved_at: z.string().nullable(),
  resolved_by: z.string().nullable(),
  resolution_note: z.string().nullable(),
});
export type AuditEvent = z.infer<typeof AuditEvent>;

/** An event as `logAuditEvent` takes it: at most 64 kB. The time is the database's. */
export type NewAuditEvent = {
  /** Lower case letters, digits, `_` and `.`, at most 63, such as `kb_uploaded`. */
  event_type: string;
  /** The verb, such as `uploaded`; the event type when absent. */
  action?: string;
  entity_type?: string;
  entity_id?: string;
  old_values?: Json;
  new_values?: Json;
  /** What changed, in words. */
  changes_summary?: string;
  /** `info` when absent. */
  severity?: AuditSeverity;
  /** `success` when absent. */
  result?: AuditResult;
  error_message?: string;
  metadata?: { [key: string]: Json | undefined };
  /** Personal data, which can be erased as nothing else can; `email` is what `eraseAuditPersonalData` finds it by. */
  personal?: { [key: string]: Json | undefined };
  /** A UUID: what is logged again under the same id is the same event. */
  event_id?: string;
  /** Who acted, from where and in which request is read from the request itself: only the service role names others. */
  actor_type?: AuditActor;
  actor_id?: string;
  ip_address?: string;
  user_agent?: string;
  request_id?: string;
};

/** The event that a page ended with. */
export type AuditCursor = Pick<AuditEvent, "occurred_at" | "event_id">;

/** Which events; all that is given must hold. */
export interface AuditFilter {
  /** An action, or how an event type begins: `payment` finds `payment_failed`. */
  action?: string;
  entityType?: string;
  entityId?: string;
  actorType?: AuditActor;
  /** Of this user. */
  userId?: string;
  severity?: AuditSeverity;
  result?: AuditResult;
  /** `activity`: members, invites and API keys; `failed`: what did not succeed; `security`. */
  category?: "activity" | "failed" | "security";
  /** What the database saw, or what an application told of. */
  source?: AuditEvent["source"];
  /** Not before. */
  from?: Time;
  /** Before. */
  to?: Time;
}

export interface AuditQuery extends AuditFilter {
  /** 1 to 1,000; 100 by default. */
  limit?: number;
  /** Goes on after the last event of the page before. */
  before?: AuditCursor;
}

/** That an event was dealt with: `resolved_by` is a user, an API key or a database role. */
export const AuditResolution = z.object({
  event_id: z.string(),
  tenant_id: z.string().nullable(),
  occurred_at: z.string(),
  note: z.string().nullable(),
  resolved_by: z.string().nullable(),
  resolved_at: z.string(),
});
export type AuditResolution = z.infer<typeof AuditResolution>;
