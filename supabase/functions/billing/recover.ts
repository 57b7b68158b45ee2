import type Stripe from "stripe";
import { z } from "zod";
import { one } from "../_shared/database.ts";
import { ApiError, log } from "../_shared/http.ts";
import { type Ingested, ingestEvent } from "../_shared/stripe_events.ts";
import type { MaintenanceDeps } from "./maintenance.ts";
import type { Shop } from "./routes.ts";

const Start = z.object({ since: z.iso.datetime({ offset: true }), types: z.array(z.string()) });

export interface Recovery {
  /** ISO 8601, both: the time whose events were read. */
  since: string;
  until: string;
  /** How many events had not come, by what the database made of them. */
  events: Partial<Record<Ingested["status"] | "refused", number>>;
}

/**
 * Takes in what webhooks did not bring: all events of use that Stripe lists since it was last read completely, oldest first. Events that
 * did come are left out. Whatever fails leaves the mark where it was, so that the next run begins there again.
 */
export async function recover({
  service,
  shop,
  now,
}: Pick<MaintenanceDeps, "service" | "now"> & { shop: Shop }): Promise<Recovery> {
  const until = now().toISOString();
  const { since, types } = one(Start, await service("begin_stripe_recovery", {}));
  const events: Stripe.Event[] = [];
  const gte = Math.floor(new Date(since).getTime() / 1000);
  for await (const event of shop.stripe.events.list({ created: { gte }, types, limit: 100 }))
    events.push(event);

  const ids = events.map(({ id }) => id);
  const unknown = new Set(
    z.array(z.string()).parse(await service("get_unknown_stripe_events", { event_ids: ids })),
  );
  const counts: Recovery["events"] = {};
  for (const event of events.reverse()) {
    if (!unknown.has(event.id)) continue;
    const status = await ingestOrRefuse(event);
    counts[status] = (counts[status] ?? 0) + 1;
  }
  await service("complete_stripe_recovery", { until });
  return { since: new Date(since).toISOString(), until, events: counts };

  async function ingestOrRefuse(event: Stripe.Event): Promise<Ingested["status"] | "refused"> {
    try {
      return (await ingestEvent(service, event, now)).status;
    } catch (error) {
      // An event that the database refuses it would refuse for ever, and all later ones would wait for it.
      if (error instanceof ApiError && error.status === 400) {
        log("error", "Failed to process subscription update", {
          event_id: event.id,
          type: event.type,
          error: error.message,
        });
        return "refused";
      }
      log("error", "Stripe's events could not be recovered", { event_id: event.id, error: String(error) });
      throw new ApiError(503, "recovery_interrupted", "An event could not be taken in; try again.");
    }
  }
}
