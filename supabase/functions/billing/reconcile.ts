import Stripe from "stripe";
import { z } from "zod";
import type { DataApi, Rpc } from "../_shared/database.ts";
import { ApiError, log } from "../_shared/http.ts";
import type { MaintenanceDeps } from "./maintenance.ts";
import { readPriceList } from "./price_list.ts";
import type { Shop } from "./routes.ts";

const Differences = z.array(
  z.object({
    stripe_subscription_id: z.string(),
    tenant_id: z.string().nullable(),
    field: z.string(),
    ours: z.string().nullable(),
    theirs: z.string().nullable(),
  }),
);

export interface Reconciliation {
  /** How many subscriptions Stripe has that have not ended. */
  checked: number;
  differences: z.infer<typeof Differences>;
}

/**
 * Says to the database which Stripe price sells what, then compares its subscriptions with Stripe's, which win. Those that
 * only the database takes for running are asked for one by one: they have ended, or are no more.
 */
export async function reconcile({
  nobody,
  service,
  shop: { prices, stripe },
  now,
}: Pick<MaintenanceDeps, "nobody" | "service" | "now"> & { shop: Shop }): Promise<Reconciliation> {
  await syncPrices(prices, nobody, service);
  const differences: z.infer<typeof Differences> = [];
  const compare = async (subscriptions: Stripe.Subscription[], fetched_at: string, is_last: boolean) => {
    const args = { subscriptions, fetched_at, is_last };
    differences.push(...Differences.parse(await service("reconcile_subscriptions", args)));
  };
  // Before the first page: what changes while they are read is newer than this.
  const listedAt = now().toISOString();
  const running: Stripe.Subscription[] = [];
  for await (const subscription of stripe.subscriptions.list({ limit: 100 })) {
    if (!ENDED.has(subscription.status)) running.push(subscription);
  }
  for (let first = 0; first < running.length; first += PAGE) {
    await compare(running.slice(first, first + PAGE), listedAt, false);
  }
  await compare([], listedAt, true);

  const askedAt = now().toISOString();
  const missing: Stripe.Subscription[] = [];
  for (const { field, stripe_subscription_id } of differences) {
    const subscription = field === "missing" && (await findSubscription(stripe, stripe_subscription_id));
    if (subscription) missing.push(subscription);
  }
  if (missing.length > 0) await compare(missing, askedAt, false);
  for (const difference of differences) log("warn", "Subscription differed from Stripe's", difference);
  return { checked: running.length, differences };
}

async function findSubscription(stripe: Stripe, id: string): Promise<Stripe.Subscription | null> {
  try {
    return await stripe.subscriptions.retrieve(id);
  } catch (error) {
    if (error instanceof Stripe.errors.StripeInvalidRequestError && error.code === "resource_missing") {
      return null;
    }
    throw error;
  }
}

/** How many the database compares at a time: their tenants wait meanwhile. */
const PAGE = 50;

/** Stripe's list is without canceled ones, unless asked for, but not without those that expired. */
const ENDED = new Set<string>(["canceled", "incomplete_expired"]);

async function syncPrices(wanted: Record<string, string>, nobody: DataApi, service: Rpc): Promise<void> {
  const prices = await readPriceList(nobody.rows);
  for (const [price_id, stripe_price_id] of Object.entries(wanted)) {
    if (prices.some((price) => price.price_id === price_id && price.stripe_price_id === stripe_price_id))
      continue;
    try {
      await service("set_stripe_price", { price_id, stripe_price_id });
    } catch (error) {
      // A name that is wrong must not keep subscriptions from being compared.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
      log("error", "A Stripe price could not be set", { price_id, stripe_price_id, error: error.message });
    }
  }
}
