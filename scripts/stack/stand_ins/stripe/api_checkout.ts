import type { Stripe } from "stripe";
import { z } from "zod";
import { priceWith } from "./api_catalog.ts";
import { trialSettings } from "./api_subscriptions.ts";
import { createCheckout, expireCheckout } from "./checkout.ts";
import { customerOf } from "./customers.ts";
import { invalid, missing } from "./errors.ts";
import { pageOf } from "./lists.ts";
import { ignored, integer, listParams, metadata, text, webAddress } from "./params.ts";
import { DAY, HOUR, MINUTE } from "./periods.ts";
import { type Route, route } from "./routes.ts";
import type { State } from "./state.ts";

const create = {
  cancel_url: webAddress.optional(),
  client_reference_id: text.max(200).optional(),
  customer: text.optional(),
  customer_email: text.optional(),
  expires_at: integer.optional(),
  line_items: z
    .array(z.strictObject({ price: text, quantity: integer.pipe(z.number().min(1)).optional() }))
    .length(1),
  metadata: metadata.optional(),
  mode: z.literal("subscription"),
  subscription_data: z
    .strictObject({
      metadata: metadata.optional(),
      trial_end: integer.optional(),
      trial_period_days: integer.pipe(z.number().min(1)).optional(),
      trial_settings: trialSettings.optional(),
      description: ignored,
      billing_mode: ignored,
    })
    .optional(),
  success_url: webAddress,
  ui_mode: z.enum(["hosted", "hosted_page"]).optional(),
  adaptive_pricing: ignored,
  allow_promotion_codes: ignored,
  automatic_tax: ignored,
  billing_address_collection: ignored,
  customer_update: ignored,
  locale: ignored,
  payment_method_collection: ignored,
  payment_method_types: ignored,
  saved_payment_method_options: ignored,
  tax_id_collection: ignored,
};

const listing = {
  ...listParams,
  customer: text.optional(),
  status: z.enum(["open", "complete", "expired"]).optional(),
  subscription: text.optional(),
};

export const checkoutRoutes: Route[] = [
  route("POST", "/checkout/sessions", create, createRoute),
  route("GET", "/checkout/sessions", listing, (state, { customer, status, subscription, ...params }) => {
    const all = [...state.checkouts.values()].filter(
      (session) =>
        (!customer || session.customer === customer) &&
        (!status || session.status === status) &&
        (!subscription || session.subscription === subscription),
    );
    return pageOf(all, params, "/v1/checkout/sessions");
  }),
  route("GET", "/checkout/sessions/:id", {}, (state, _params, id) => checkoutWith(state, id)),
  route("GET", "/checkout/sessions/:id/line_items", listParams, (state, _params, id) => {
    return checkoutWith(state, id).line_items ?? {};
  }),
  route("POST", "/checkout/sessions/:id/expire", {}, (state, _params, id) => {
    const session = checkoutWith(state, id);
    if (session.status !== "open") {
      throw invalid(`Only Checkout Sessions with a status in ["open"] can be expired.`);
    }
    expireCheckout(state, session);
    return session;
  }),
];

function createRoute(state: State, params: z.output<z.ZodObject<typeof create>>): Stripe.Checkout.Session {
  const now = state.clock.now();
  const { customer, customer_email: customerEmail, expires_at: expiresAt, subscription_data: data } = params;
  if (customer !== undefined && customerEmail !== undefined) {
    throw invalid("You may only specify one of these parameters: customer, customer_email.", "customer");
  }
  if (expiresAt !== undefined && (expiresAt < now + 30 * MINUTE || expiresAt > now + DAY)) {
    throw invalid(
      "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.",
      "expires_at",
    );
  }
  if (data?.trial_end !== undefined && data.trial_end < now + 48 * HOUR) {
    throw invalid(
      "The `trial_end` date has to be at least 2 days in the future.",
      "subscription_data[trial_end]",
    );
  }
  const [item] = params.line_items;
  return createCheckout(state, {
    cancelUrl: params.cancel_url,
    clientReferenceId: params.client_reference_id,
    customer: customer === undefined ? undefined : customerOf(state, customer, "customer"),
    customerEmail,
    expiresAt,
    metadata: params.metadata ?? {},
    notes: {
      metadata: data?.metadata ?? {},
      price: priceWith(state, item?.price ?? "", "line_items[0][price]"),
      quantity: item?.quantity ?? 1,
      trialDays: data?.trial_period_days,
      trialEnd: data?.trial_end,
      trialSettings: data?.trial_settings ?? null,
    },
    successUrl: params.success_url,
  });
}

function checkoutWith(state: State, id: string): Stripe.Checkout.Session {
  const session = state.checkouts.get(id);
  if (!session) throw missing("checkout.session", id);
  return session;
}
