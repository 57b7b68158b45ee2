import { z } from "zod";
import { oneLine } from "../_shared/alert_message.ts";
import type { Rpc } from "../_shared/database.ts";

/** A message that was claimed: this attempt is its claimer's until the lease ends. Its `config` holds secrets. */
export const Notification = z.object({
  id: z.string(),
  tenant_id: z.string().nullable(),
  alert_id: z.string().nullable(),
  channel_id: z.string().nullable(),
  kind: z.enum(["alert", "invite", "billing"]),
  channel_type: z.string(),
  recipient: z.string().nullable(),
  config: z
    .record(z.string(), z.unknown())
    .nullable()
    .transform((config) => config ?? {}),
  payload: z.unknown(),
  /** From 1. */
  attempt: z.number(),
  /** ISO 8601. */
  created_at: z.string(),
});
export type Notification = z.infer<typeof Notification>;

/** What became of an attempt. */
export type Outcome = { ok: true } | Failure;

export interface Failure {
  ok: false;
  /** For whoever owns the channel: short, and without a secret. */
  error: string;
  /** Not again before so many seconds. */
  retry_after_seconds?: number;
  /** Never again. */
  is_permanent?: true;
  /** Nothing will ever take it: the channel is switched off. */
  is_gone?: true;
  /** The whole channel fails, not this message: others have to wait. */
  blocks_channel?: true;
}

/** A failure; its error is cut to what the outbox keeps. */
export const failure = (error: string, facts: Omit<Failure, "ok" | "error"> = {}): Failure => ({
  ok: false,
  error: oneLine(error.toWellFormed(), 300),
  ...facts,
});

export type Report = Outcome & Pick<Notification, "id" | "attempt">;

export interface Outbox {
  claim(maxRows: number, leaseSeconds: number): Promise<Notification[]>;
  complete(reports: Report[]): Promise<void>;
}

/** The outbox of a project, as the service role. */
export function outboxOf(service: Rpc): Outbox {
  return {
    claim: async (max_rows, lease_seconds) =>
      z.array(Notification).parse(await service("claim_alert_notifications", { max_rows, lease_seconds })),
    complete: async (outcomes) => {
      await service("complete_alert_notifications", { outcomes });
    },
  };
}
