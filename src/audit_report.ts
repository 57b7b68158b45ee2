import { z } from "zod";

/**
 * Whether the events of a tenant are what was written, all of them. `events` have their place in the chain, `pending` get
 * one within a minute. Keep `head_seq` and `head_hash` elsewhere (hexadecimal; null: nothing in the chain yet): with them
 * a later verification proves that what is known today is still its beginning.
 */
export const AuditVerification = z.object({
  is_intact: z.boolean(),
  events: z.number(),
  pending: z.number(),
  head_seq: z.number(),
  head_hash: z.string().nullable(),
  /** How the anchor compares: `pruned` when its link was dropped with its month; null without one. */
  anchor: z.enum(["agrees", "differs", "pruned"]).nullable(),
  /** At most some thousands. `seq` null: an event outside of the chain. */
  problems: z.array(
    z.object({
      seq: z.number().nullable(),
      /** `event_edited`, `event_deleted`, `personal_data_edited`, `link_broken`, `tail_cut`, `anchor_differs`, … */
      problem: z.string(),
      event_id: z.string().optional(),
      occurred_at: z.string().optional(),
    }),
  ),
});
export type AuditVerification = z.infer<typeof AuditVerification>;

const Counts = z.record(z.string(), z.number());

/**
 * What happened in [from, to), counted. `failed_operations`: those that did not succeed, wholly or in part;
 * `severe_events`: errors and critical ones; `by_day` has UTC days. `access_changes`: the newest 1,000 of members, invites
 * and API keys that the database saw, oldest first.
 */
export const AuditReport = z.object({
  tenant_id: z.string(),
  from: z.string(),
  to: z.string(),
  generated_at: z.string(),
  total_events: z.number(),
  failed_operations: z.number(),
  security_events: z.number(),
  severe_events: z.number(),
  unresolved_severe_events: z.number(),
  actors: z.number(),
  by_event_type: Counts,
  by_action: Counts,
  by_severity: Counts,
  by_result: Counts,
  by_actor_type: Counts,
  by_day: Counts,
  access_changes: z.array(
    z.object({
      occurred_at: z.string(),
      event_type: z.string(),
      entity_id: z.string().nullable(),
      actor_type: z.string(),
      actor_id: z.string().nullable(),
      old_role: z.string().nullable(),
      new_role: z.string().nullable(),
    }),
  ),
  integrity: AuditVerification,
});
export type AuditReport = z.infer<typeof AuditReport>;
