import { z } from "zod";
import { one, type Rpc } from "./database.ts";
import { log } from "./http.ts";

/** What is asked of an event; the database reads the rest. */
export const StripeEvent = z.looseObject({
  id: z.string().min(1),
  object: z.literal("event").optional(),
  type: z.string().min(1),
  /** Seconds since 1970. */
  created: z.number().int(),
  data: z.looseObject({ object: z.looseObject({}) }),
});

const Ingested = z.object({
  event_id: z.string(),
  type: z.string(),
  status: z.enum(["processed", "duplicate", "stale", "ignored", "failed"]),
  tenant_id: z.string().nullable(),
  /** The plan that the event moved the tenant to; null where it moved it to none. */
  plan_id: z.string().nullable(),
  is_upgrade: z.boolean(),
  error: z.string().nullable(),
});
export type Ingested = z.infer<typeof Ingested>;

/**
 * Hands one event, as Stripe wrote it, to the database, and logs what operators look for: upgrades, with the milliseconds
 * since Stripe made the event, and events that could not be applied (the database keeps them and tries again).
 */
export async function ingestEvent(
  service: Rpc,
  event: { id: string; created: number },
  now: () => Date,
): Promise<Ingested> {
  const ingested = one(Ingested, await service("ingest_stripe_event", { event }));
  const { event_id, type, status, tenant_id, plan_id, is_upgrade, error } = ingested;
  if (status === "failed") log("error", "Failed to process subscription update", { event_id, type, error });
  if (is_upgrade && plan_id !== null) {
    const latency_ms = now().getTime() - event.created * 1000;
    log("info", `User upgraded to ${plan_id.toUpperCase()}`, { profileId: tenant_id, event_id, latency_ms });
  }
  return ingested;
}
