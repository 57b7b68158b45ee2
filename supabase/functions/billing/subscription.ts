import type Stripe from "stripe";
import { z } from "zod";
import { one } from "../_shared/database.ts";
import { ApiError } from "../_shared/http.ts";
import { type Account, readAccount, requireSubscription } from "./account.ts";
import { clientSecretOf } from "./checkout.ts";
import { type Price, readPriceList } from "./price_list.ts";
import { type AddRoutes, orderBody } from "./routes.ts";

const Cancel = orderBody({ atPeriodEnd: z.boolean().default(true) });
const Resume = orderBody({});
const ChangePlan = orderBody({
  newPlanId: z.string().min(1).max(255),
  prorationBehavior: z.enum(["always_invoice", "create_prorations", "none"]).default("always_invoice"),
});

const PlanChange = z.object({
  stripe_subscription_id: z.string(),
  stripe_item_id: z.string(),
  stripe_price_id: z.string(),
});

/** Changes of a subscription. Each answers with what Stripe made of it; the database follows by Stripe's event. */
export function subscriptionRoutes({ order }: AddRoutes): void {
  order("/cancel", Cancel, async (request) => {
    const { body, options, stripe } = request;
    const id = await requireSubscription(request);
    const subscription = body.atPeriodEnd
      ? await stripe.subscriptions.update(id, { cancel_at_period_end: true }, options)
      : await stripe.subscriptions.cancel(id);
    return Response.json(stateOf(subscription));
  });

  order("/resume", Resume, async (request) => {
    const id = await requireSubscription(request);
    return Response.json(stateOf(await resume(request.stripe, id, request.options)));
  });

  order("/change-plan", ChangePlan, async (request) => {
    const { body, caller, options, stripe, tenantId } = request;
    const { newPlanId: price_id, prorationBehavior } = body;
    const rows = await caller.rpc("check_plan_change", { tenant_id: tenantId, price_id });
    const change = one(PlanChange, rows);
    const account = await readAccount(request);
    if (
      prorationBehavior !== "always_invoice" &&
      isUpgrade(await readPriceList(caller.rows), account, price_id)
    ) {
      const reason = "A greater plan is paid for at once: leave prorationBehavior at always_invoice.";
      throw new ApiError(409, "upgrade_must_be_paid", reason);
    }
    let subscription: Stripe.Subscription = await stripe.subscriptions.update(
      change.stripe_subscription_id,
      {
        items: [{ id: change.stripe_item_id, price: change.stripe_price_id }],
        proration_behavior: prorationBehavior,
        // The change waits for its payment: until then nothing of the subscription, and so no limit, is different.
        payment_behavior: "pending_if_incomplete",
        expand: ["latest_invoice.confirmation_secret"],
      },
      options,
    );
    const isPending = subscription.pending_update !== null;
    const clientSecret = isPending ? clientSecretOf(subscription) : null;
    // Whoever chooses a plan means to go on. By itself: Stripe takes it with no change that may have to wait.
    if (account.cancel_at_period_end && !isPending) subscription = await resume(stripe, subscription.id);
    return Response.json({
      ...stateOf(subscription),
      planId: price_id,
      isPending,
      clientSecret,
    });
  });
}

/** Takes a cancellation back, whether it was asked for by the flag or, as Stripe's own portal does, by its date. */
async function resume(
  stripe: Stripe,
  id: string,
  options: Stripe.RequestOptions = {},
): Promise<Stripe.Subscription> {
  const { cancel_at_period_end, cancel_at } = await stripe.subscriptions.retrieve(id);
  const change =
    cancel_at !== null && !cancel_at_period_end
      ? { cancel_at: "" as const }
      : { cancel_at_period_end: false };
  return stripe.subscriptions.update(id, change, options);
}

/** Whether a tenant would get more than it has; also where what it has is sold no more. */
function isUpgrade(prices: Price[], account: Account, priceId: string): boolean {
  const planOf = (id: string | null) => prices.find(({ price_id }) => price_id === id)?.sort_order;
  const [from, to] = [planOf(account.price_id), planOf(priceId)];
  return from === undefined || to === undefined || to > from;
}

/** Since 2025 the period is that of the items. */
function stateOf({ id, status, cancel_at_period_end, items }: Stripe.Subscription) {
  const end = items.data[0]?.current_period_end;
  return {
    subscriptionId: id,
    status,
    cancelAtPeriodEnd: cancel_at_period_end,
    currentPeriodEnd: end === undefined ? null : new Date(end * 1000).toISOString(),
  };
}
