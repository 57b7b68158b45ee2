import type { Stripe } from "stripe";
import { z } from "zod";
import { priceWith } from "./api_catalog.ts";
import { intervalOf } from "./catalog.ts";
import { customerOf } from "./customers.ts";
import { invalid, missing } from "./errors.ts";
import { onlyItem } from "./invoice_objects.ts";
import { pageOf } from "./lists.ts";
import { emptyOr, flag, ignored, integer, listParams, metadata, text } from "./params.ts";
import { DAY, periodFrom } from "./periods.ts";
import { type Route, route } from "./routes.ts";
import { beginPeriod } from "./schedule.ts";
import type { State } from "./state.ts";
import { changeSubscription } from "./subscription_changes.ts";
import { cancel, createSubscription, isOver } from "./subscriptions.ts";

const paymentBehavior = z
  .enum(["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"])
  .optional();
const quantity = integer.pipe(z.number().min(1)).optional();
const cancellationDetails = z
  .strictObject({
    comment: text.optional(),
    feedback: z
      .enum([
        "customer_service",
        "low_quality",
        "missing_features",
        "other",
        "switched_service",
        "too_complex",
        "too_expensive",
        "unused",
      ])
      .optional(),
  })
  .optional();

/** `trial_settings` of a subscription and of a checkout's `subscription_data`. */
export const trialSettings = z
  .strictObject({
    end_behavior: z.strictObject({ missing_payment_method: z.enum(["cancel", "create_invoice", "pause"]) }),
  })
  .transform(({ end_behavior }) => ({ end_behavior: { billing_cycle_anchor: null, ...end_behavior } }));

const create = {
  cancel_at_period_end: flag.optional(),
  customer: text,
  default_payment_method: text.optional(),
  items: z.array(z.strictObject({ metadata: ignored, price: text, quantity })).length(1),
  metadata: metadata.optional(),
  payment_behavior: paymentBehavior,
  trial_end: integer.optional(),
  trial_period_days: integer.optional(),
  trial_settings: trialSettings.optional(),
  billing_mode: ignored,
  collection_method: ignored,
  description: ignored,
  off_session: ignored,
  payment_settings: ignored,
  proration_behavior: ignored,
};

const update = {
  billing_cycle_anchor: z.enum(["now", "unchanged"]).optional(),
  cancel_at: z.union([emptyOr(integer), z.enum(["min_period_end", "max_period_end"])]).optional(),
  cancel_at_period_end: flag.optional(),
  cancellation_details: cancellationDetails,
  default_payment_method: text.optional(),
  description: text.optional(),
  items: z
    .array(z.strictObject({ id: text.optional(), metadata: ignored, price: text.optional(), quantity }))
    .length(1)
    .optional(),
  metadata: metadata.optional(),
  payment_behavior: paymentBehavior,
  proration_behavior: z.enum(["create_prorations", "always_invoice", "none"]).optional(),
  proration_date: integer.optional(),
  trial_end: z.union([z.literal("now"), integer]).optional(),
  off_session: ignored,
  payment_settings: ignored,
};

/** What Stripe does not take beside a change that waits for its payment. */
const NEVER_PENDING = ["cancel_at", "cancel_at_period_end", "metadata"] as const;

const STATUSES = [
  "all",
  "active",
  "canceled",
  "ended",
  "incomplete",
  "incomplete_expired",
  "past_due",
  "paused",
  "trialing",
  "unpaid",
] as const;

const listing = {
  ...listParams,
  customer: text.optional(),
  price: text.optional(),
  status: z.enum(STATUSES).optional(),
};

export const subscriptionRoutes: Route[] = [
  route("POST", "/subscriptions", create, (state, params) => {
    const [item] = params.items;
    if (!item) throw invalid("Missing required param: items.", "items", "parameter_missing");
    const days = params.trial_period_days;
    return createSubscription(state, {
      cancelAtPeriodEnd: params.cancel_at_period_end,
      customer: customerOf(state, params.customer, "customer").id,
      defaultPaymentMethod: params.default_payment_method,
      metadata: params.metadata ?? {},
      paymentBehavior: params.payment_behavior ?? "allow_incomplete",
      price: priceWith(state, item.price, "items[0][price]"),
      quantity: item.quantity ?? 1,
      trialEnd: days === undefined ? params.trial_end : state.clock.now() + days * DAY,
      trialSettings: params.trial_settings,
    });
  }),
  route("GET", "/subscriptions", listing, (state, params) => {
    const all = [...state.subscriptions.values()].filter(
      (subscription) =>
        hasStatus(subscription, params.status) &&
        (!params.customer || subscription.customer === params.customer) &&
        (!params.price || onlyItem(subscription).price.id === params.price),
    );
    return pageOf(all, params, "/v1/subscriptions");
  }),
  route("GET", "/subscriptions/:id", {}, (state, _params, id) => subscriptionWith(state, id)),
  route("POST", "/subscriptions/:id", update, updateRoute),
  route(
    "DELETE",
    "/subscriptions/:id",
    { cancellation_details: cancellationDetails, invoice_now: ignored, prorate: ignored },
    (state, params, id) => {
      const subscription = subscriptionWith(state, id);
      if (isOver(subscription)) throw missing("subscription", id);
      Object.assign(subscription.cancellation_details ?? {}, params.cancellation_details);
      cancel(state, subscription);
      return subscription;
    },
  ),
  route(
    "POST",
    "/subscriptions/:id/resume",
    { billing_cycle_anchor: z.enum(["now", "unchanged"]).optional(), proration_behavior: ignored },
    (state, _params, id) => {
      const subscription = subscriptionWith(state, id);
      if (subscription.status !== "paused") throw invalid("Only paused subscriptions can be resumed.");
      const now = state.clock.now();
      subscription.billing_cycle_anchor = now;
      beginPeriod(state, subscription, periodFrom(now, intervalOf(onlyItem(subscription).price), now));
      state.events.emit("customer.subscription.resumed", subscription);
      return subscription;
    },
  ),
];

function updateRoute(
  state: State,
  params: z.output<z.ZodObject<typeof update>>,
  id: string,
): Stripe.Subscription {
  const subscription = subscriptionWith(state, id);
  if (params.payment_behavior === "pending_if_incomplete") {
    const name = NEVER_PENDING.find((key) => params[key] !== undefined);
    if (name !== undefined) throw neverPending(name);
  }
  const [item] = params.items ?? [];
  if (item?.id !== undefined && item.id !== onlyItem(subscription).id) {
    throw missing("subscription_item", item.id, "items[0][id]");
  }
  if (item?.price !== undefined && item.id === undefined) {
    throw invalid(
      "Only subscriptions with one item are stood in for: name it by items[0][id].",
      "items[0][id]",
    );
  }
  changeSubscription(state, subscription, {
    comment: params.cancellation_details?.comment,
    defaultPaymentMethod: params.default_payment_method,
    description: params.description,
    end: endOf(params),
    feedback: params.cancellation_details?.feedback,
    metadata: params.metadata,
    paymentBehavior: params.payment_behavior,
    price: item?.price === undefined ? undefined : priceWith(state, item.price, "items[0][price]"),
    prorationBehavior: params.proration_behavior,
    prorationDate: params.proration_date,
    quantity: item?.quantity,
    resetsAnchor: params.billing_cycle_anchor === "now",
    trialEnd: params.trial_end,
  });
  return subscription;
}

const neverPending = (name: string) =>
  invalid(
    `When \`payment_behavior\` is set to \`pending_if_incomplete\`, you can only pass supported params. \`${name}\` is not supported.`,
    name,
  );

function endOf(params: {
  cancel_at?: string | number | null | undefined;
  cancel_at_period_end?: boolean | undefined;
}): "period_end" | number | null | undefined {
  const { cancel_at: at, cancel_at_period_end: atPeriodEnd } = params;
  if (typeof at === "string" || atPeriodEnd) return "period_end";
  if (at !== undefined) return at;
  return atPeriodEnd === false ? null : undefined;
}

function hasStatus(
  subscription: Stripe.Subscription,
  status: (typeof STATUSES)[number] | undefined,
): boolean {
  if (status === "all") return true;
  if (status === "ended") return isOver(subscription);
  return status === undefined ? subscription.status !== "canceled" : subscription.status === status;
}

function subscriptionWith(state: State, id: string): Stripe.Subscription {
  const subscription = state.subscriptions.get(id);
  if (!subscription) throw missing("subscription", id);
  return subscription;
}
