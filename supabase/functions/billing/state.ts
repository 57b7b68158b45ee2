import { z } from "zod";
import { type DataApi, one } from "../_shared/database.ts";
import { readPriceList } from "./price_list.ts";
import type { AddRoutes } from "./routes.ts";

const time = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text).toISOString())
  .nullable();
const SubscriptionState = z.object({
  plan_id: z.string(),
  price_id: z.string().nullable(),
  status: z.string(),
  current_period_start: time,
  current_period_end: time,
  cancel_at_period_end: z.boolean(),
  trial_ends_at: time,
  grace_ends_at: time,
  plan_details: z.unknown(),
});

/** What is for sale, and what a tenant has: its subscription, its use of what it pays for, its invoices. */
export function stateRoutes({ read, plain }: AddRoutes, nobody: DataApi): void {
  plain("get", "/plans", async () => {
    const prices = await readPriceList(nobody.rows);
    const plans = prices.map((price) => ({
      id: price.price_id,
      name: price.name,
      priceId: price.stripe_price_id,
      creditsPerMonth: price.credits_per_month,
      planId: price.plan_id,
      interval: price.interval,
      unitAmount: price.unit_amount,
      currency: price.currency,
      discountPercent: price.discount_percent,
    }));
    return Response.json(plans, { headers: { "cache-control": "public, max-age=300" } });
  });
  read("/current", async ({ caller, tenantId }) => {
    const state = one(SubscriptionState, await caller.rpc("get_subscription", { tenant_id: tenantId }));
    return Response.json({
      plan: state.price_id ?? state.plan_id,
      status: state.status,
      currentPeriodStart: state.current_period_start,
      currentPeriodEnd: state.current_period_end,
      cancelAtPeriodEnd: state.cancel_at_period_end,
      trialEndsAt: state.trial_ends_at,
      graceEndsAt: state.grace_ends_at,
      plan_details: state.plan_details,
    });
  });
  read("/usage", async ({ caller, tenantId }) => {
    const usage = await caller.rpc("get_quota_status", { tenant_id: tenantId });
    return Response.json({ tenant_id: tenantId, usage });
  });
  read("/invoices", async ({ caller, tenantId }) => {
    const invoices = await caller.rpc("get_invoices", { tenant_id: tenantId });
    return Response.json({ invoices });
  });
}
