import { z } from "zod";
import { type Client, call, callOne, callRows, invoke } from "./client.ts";
import { QuotaPeriod } from "./quota.ts";
import { type ListOptions, list } from "./rows.ts";
import { iso, type Time } from "./time.ts";

/**
 * What a plan costs each `interval`: `unit_amount` in the smallest unit of the currency, as cents. Null: `stripe_price_id`
 * where it is not for sale, `discount_percent` where there is no monthly price to compare a yearly one with.
 */
export const Price = z.object({
  price_id: z.string(),
  plan_id: z.string(),
  name: z.string(),
  interval: z.enum(["month", "year"]),
  unit_amount: z.int(),
  currency: z.string(),
  credits_per_month: z.int(),
  stripe_price_id: z.string().nullable(),
  discount_percent: z.number().nullable(),
  /** Of the plan: the greater it is, the more the plan allows. */
  sort_order: z.int(),
});
export type Price = z.infer<typeof Price>;

/**
 * The plan in force and the subscription that speaks for the tenant. `status` is Stripe's word (`active`, `past_due`,
 * `canceled`, …), or `none` without a subscription; then price and period are null. Until `grace_ends_at` a tenant whose
 * payment failed keeps the plan. `plan_details.limits` are those in force, null is unlimited.
 */
export const SubscriptionState = z.object({
  tenant_id: z.string(),
  plan_id: z.string(),
  price_id: z.string().nullable(),
  status: z.string(),
  current_period_start: z.string().nullable(),
  current_period_end: z.string().nullable(),
  cancel_at_period_end: z.boolean(),
  trial_ends_at: z.string().nullable(),
  grace_ends_at: z.string().nullable(),
  stripe_subscription_id: z.string().nullable(),
  plan_details: z.object({
    plan_id: z.string(),
    name: z.string(),
    description: z.string(),
    price: Price.nullable(),
    limits: z.array(
      z.object({
        metric: z.string(),
        period: QuotaPeriod,
        per: z.enum(["tenant", "subject"]),
        limit_value: z.number().nullable(),
        enforcement: z.enum(["hard", "soft"]),
      }),
    ),
  }),
});
export type SubscriptionState = z.infer<typeof SubscriptionState>;

/** As Stripe told of it last: `status` is its word, amounts are in the smallest unit of the currency. */
export const Invoice = z.object({
  tenant_id: z.string(),
  stripe_invoice_id: z.string(),
  stripe_subscription_id: z.string().nullable(),
  number: z.string().nullable(),
  status: z.string(),
  billing_reason: z.string().nullable(),
  currency: z.string(),
  total: z.int(),
  amount_due: z.int(),
  amount_paid: z.int(),
  amount_remaining: z.int(),
  attempt_count: z.int(),
  next_payment_attempt_at: z.string().nullable(),
  period_start: z.string(),
  period_end: z.string(),
  hosted_invoice_url: z.string().nullable(),
  invoice_pdf: z.string().nullable(),
  created_at: z.string(),
  paid_at: z.string().nullable(),
  updated_at: z.string(),
});
export type Invoice = z.infer<typeof Invoice>;

/** An attempt to pay an invoice; `amount` in the smallest unit of the currency: what was paid, or was to be. */
export const Payment = z.object({
  tenant_id: z.string(),
  stripe_invoice_id: z.string(),
  attempt: z.int(),
  status: z.enum(["succeeded", "failed"]),
  stripe_payment_id: z.string(),
  amount: z.int(),
  currency: z.string(),
  occurred_at: z.string(),
});
export type Payment = z.infer<typeof Payment>;

/** Stripe's page to pay at, open until `expiresAt`. */
export const Checkout = z.object({ id: z.string(), url: z.string(), expiresAt: z.string() });
export type Checkout = z.infer<typeof Checkout>;

/** Stripe's page where customers see to their subscription, cards and invoices; good for minutes. */
export const Portal = z.object({ url: z.string() });
export type Portal = z.infer<typeof Portal>;

/** `clientSecret` pays the first invoice in a form of one's own; null where nothing is to be paid. */
export const NewSubscription = z.object({
  subscriptionId: z.string(),
  status: z.string(),
  clientSecret: z.string().nullable(),
});
export type NewSubscription = z.infer<typeof NewSubscription>;

/** What Stripe made of a change; the database follows by Stripe's event, within seconds. */
export const ChangedSubscription = z.object({
  subscriptionId: z.string(),
  status: z.string(),
  cancelAtPeriodEnd: z.boolean(),
  currentPeriodEnd: z.string().nullable(),
});
export type ChangedSubscription = z.infer<typeof ChangedSubscription>;

/** `planId` is the price that was asked for. `isPending`: it waits for its payment, which `clientSecret` makes. */
export const ChangedPlan = ChangedSubscription.extend({
  planId: z.string(),
  isPending: z.boolean(),
  clientSecret: z.string().nullable(),
});
export type ChangedPlan = z.infer<typeof ChangedPlan>;

export const StripeEventStatus = z.enum(["processed", "stale", "ignored", "failed"]);
export type StripeEventStatus = z.infer<typeof StripeEventStatus>;

/**
 * An event of Stripe, whose words are `payload`, and what became of it. `plan_id` is the plan that it moved its tenant to.
 * `failed` ones say why in `last_error`, and are tried again at `next_attempt_at`; null: only by `replay`.
 */
export const StripeEvent = z.object({
  id: z.string(),
  type: z.string(),
  object_id: z.string().nullable(),
  is_final: z.boolean(),
  occurred_at: z.string(),
  api_version: z.string().nullable(),
  payload: z.record(z.string(), z.unknown()),
  status: StripeEventStatus,
  tenant_id: z.string().nullable(),
  plan_id: z.string().nullable(),
  previous_plan_id: z.string().nullable(),
  attempts: z.int(),
  duplicates: z.int(),
  last_error: z.string().nullable(),
  next_attempt_at: z.string().nullable(),
  received_at: z.string(),
  applied_at: z.string().nullable(),
});
export type StripeEvent = z.infer<typeof StripeEvent>;

/** What became of an event just now; plans only where it moved its tenant. */
export const AppliedEvent = z.object({
  event_id: z.string(),
  type: z.string(),
  status: StripeEventStatus,
  tenant_id: z.string().nullable(),
  plan_id: z.string().nullable(),
  previous_plan_id: z.string().nullable(),
  is_upgrade: z.boolean(),
  error: z.string().nullable(),
});
export type AppliedEvent = z.infer<typeof AppliedEvent>;

/** A price as it is kept, see `Price`. */
export const PlanPrice = Price.pick({
  plan_id: true,
  interval: true,
  unit_amount: true,
  currency: true,
  credits_per_month: true,
  stripe_price_id: true,
}).extend({ id: z.string(), product: z.string() });
export type PlanPrice = z.infer<typeof PlanPrice>;

/**
 * Webhooks, the way from a click to a purchase, and the seconds from Stripe's event to the greater limits. Rates are shares
 * of 1, null where there was nothing to share.
 */
export const BillingKpis = z.object({
  webhooks_received: z.int(),
  webhooks_failed: z.int(),
  webhook_success_rate: z.number().nullable(),
  checkout_clicks: z.int(),
  checkout_sessions: z.int(),
  checkouts_completed: z.int(),
  checkout_conversion: z.number().nullable(),
  upgrades: z.int(),
  upgrade_latency_p50_seconds: z.number().nullable(),
  upgrade_latency_p95_seconds: z.number().nullable(),
  upgrade_latency_p99_seconds: z.number().nullable(),
});
export type BillingKpis = z.infer<typeof BillingKpis>;

/** `outcome`: `received`, or what became of them; of type `unknown`, why they were refused, as `signature_invalid`. */
export const WebhookCount = z.object({ type: z.string(), outcome: z.string(), count: z.int() });
export type WebhookCount = z.infer<typeof WebhookCount>;

export interface OrderOptions {
  /** Printable ASCII, up to 255 characters: the same order with the same key is carried out once. */
  idempotencyKey?: string;
}

/** URLs are below one of the project's `BILLING_REDIRECT_URLS`, the first of which is the default. */
export interface CheckoutOptions extends OrderOptions {
  successUrl?: string;
  cancelUrl?: string;
}

export interface PortalOptions {
  /** Below one of the project's `BILLING_REDIRECT_URLS`, the first of which is the default. */
  returnUrl?: string;
}

export interface CancelOptions extends OrderOptions {
  /** True by default: what is paid for is kept until then. False ends it at once; keys mean nothing to that. */
  atPeriodEnd?: boolean;
}

export interface ChangePlanOptions extends OrderOptions {
  /** `always_invoice` by default: the difference is paid at once. Only a change to a lesser plan may be `none` or later. */
  prorationBehavior?: "always_invoice" | "create_prorations" | "none";
}

export interface InvoiceQuery {
  /** 1 to 1,000; 50 by default. */
  limit?: number;
  /** Those made before, as the `created_at` of the last invoice of the page before. */
  before?: Time;
}

export interface StripeEventQuery extends ListOptions {
  status?: StripeEventStatus;
}

const newestFirst = { ascending: false };

/**
 * What is sold, what a tenant has bought, and buying it: what a tenant has used of it says `mb.quota.getQuotaStatus`. A
 * tenant's billing is its owners' business. What goes through Stripe needs a user or an API key, not the secret key; it
 * throws, beside what each method names, `UnavailableError`: `stripe_not_configured`, `stripe_unavailable`, `stripe_refused`;
 * `ConflictError`: `stripe_object_missing`, `idempotency_key_reused`.
 * @example
 * const { url } = await mb.billing.checkout(tenantId, "startup_monthly", { idempotencyKey: formId });
 * location.assign(url);
 */
export class Billing {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** All prices, from the least plan to the greatest, the cheaper price of a plan first. Everybody may read them. */
  plans(): Promise<Price[]> {
    const prices = this.#client.from("price_list").select("*");
    return list(prices.order("sort_order").order("unit_amount").order("price_id"), Price);
  }

  /**
   * The plan in force, and the subscription behind it. Needs `billing:read`.
   * @throws {PermissionError} `permission_denied`.
   */
  current(tenantId: string): Promise<SubscriptionState> {
    const args = { tenant_id: tenantId };
    return callOne(this.#client, "get_subscription", args, SubscriptionState, { get: true });
  }

  /**
   * A tenant's invoices, newest first. Needs `billing:read`.
   * @throws {InvalidRequestError} `invalid_max_rows`.
   * @throws {PermissionError} `permission_denied`.
   */
  invoices(tenantId: string, { limit, before }: InvoiceQuery = {}): Promise<Invoice[]> {
    const args = { tenant_id: tenantId, max_rows: limit, before_ts: before && iso(before) };
    return callRows(this.#client, "get_invoices", args, Invoice, { get: true });
  }

  /** A tenant's attempts to pay, newest first; none without `billing:read`. */
  payments(tenantId: string, options?: ListOptions): Promise<Payment[]> {
    const payments = this.#client.from("payments").select("*").eq("tenant_id", tenantId);
    const sorted = payments.order("occurred_at", newestFirst).order("stripe_invoice_id");
    return list(sorted.order("attempt", newestFirst).order("status"), Payment, options);
  }

  /**
   * Begins a purchase on Stripe's page. Needs `billing:write`.
   * @throws {InvalidRequestError} `redirect_not_allowed`, `invalid_idempotency_key`.
   * @throws {PermissionError} `permission_denied`.
   * @throws {NotFoundError} `price_not_found`.
   * @throws {ConflictError} `price_not_for_sale`; `already_subscribed`: change the plan instead.
   * @throws {QuotaExceededError} `too_many_checkouts`: a tenant begins 100 a day.
   */
  checkout(
    tenantId: string,
    priceId: string,
    { successUrl, cancelUrl, idempotencyKey }: CheckoutOptions = {},
  ): Promise<Checkout> {
    const body = { tenant_id: tenantId, planId: priceId, successUrl, cancelUrl };
    return invoke(this.#client, "billing/checkout", body, Checkout, idempotencyKey);
  }

  /**
   * Opens Stripe's page of a customer. Needs `billing:write`.
   * @throws {InvalidRequestError} `redirect_not_allowed`.
   * @throws {PermissionError} `permission_denied`.
   * @throws {ConflictError} `no_customer`: the tenant has bought nothing yet.
   */
  portal(tenantId: string, { returnUrl }: PortalOptions = {}): Promise<Portal> {
    return invoke(this.#client, "billing/portal", { tenant_id: tenantId, returnUrl }, Portal);
  }

  /** Makes a subscription that begins when its first invoice is paid. Needs `billing:write`; throws as `checkout`. */
  subscribe(
    tenantId: string,
    priceId: string,
    { idempotencyKey }: OrderOptions = {},
  ): Promise<NewSubscription> {
    const body = { tenant_id: tenantId, planId: priceId };
    return invoke(this.#client, "billing/create", body, NewSubscription, idempotencyKey);
  }

  /**
   * Ends the subscription with its period, or at once. Needs `billing:write`.
   * @throws {PermissionError} `permission_denied`.
   * @throws {ConflictError} `no_subscription`: none that is not over.
   */
  cancel(
    tenantId: string,
    { atPeriodEnd, idempotencyKey }: CancelOptions = {},
  ): Promise<ChangedSubscription> {
    const body = { tenant_id: tenantId, atPeriodEnd };
    return invoke(this.#client, "billing/cancel", body, ChangedSubscription, idempotencyKey);
  }

  /** Lets a subscription go on that was to end with its period. Needs `billing:write`; throws as `cancel`. */
  resume(tenantId: string, { idempotencyKey }: OrderOptions = {}): Promise<ChangedSubscription> {
    const body = { tenant_id: tenantId };
    return invoke(this.#client, "billing/resume", body, ChangedSubscription, idempotencyKey);
  }

  /**
   * Moves the subscription to another price; one that was to end goes on. Needs `billing:write`.
   * @throws {PermissionError} `permission_denied`.
   * @throws {NotFoundError} `price_not_found`.
   * @throws {ConflictError} `no_subscription`, `price_not_for_sale`, `price_unchanged`; `upgrade_must_be_paid`: a greater
   *   plan is not to be had without `always_invoice`.
   * @throws {MeterbaseError} 402 `payment_failed`.
   */
  changePlan(
    tenantId: string,
    priceId: string,
    { prorationBehavior, idempotencyKey }: ChangePlanOptions = {},
  ): Promise<ChangedPlan> {
    const body = { tenant_id: tenantId, newPlanId: priceId, prorationBehavior };
    return invoke(this.#client, "billing/change-plan", body, ChangedPlan, idempotencyKey);
  }

  /** Stripe's events, those that came last first, 50 by default; none but for platform admins. */
  events({ status, limit = 50, offset }: StripeEventQuery = {}): Promise<StripeEvent[]> {
    const all = this.#client.from("stripe_events").select("*");
    const events = status === undefined ? all : all.eq("status", status);
    const page = { limit, ...(offset !== undefined && { offset }) };
    return list(events.order("received_at", newestFirst).order("id"), StripeEvent, page);
  }

  /**
   * Applies an event again; where a later one of its object has come, that one. Again changes nothing. Platform admins only.
   * @throws {NotFoundError} `event_not_found`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  replay(eventId: string): Promise<AppliedEvent> {
    return callOne(this.#client, "replay_stripe_event", { event_id: eventId }, AppliedEvent);
  }

  /**
   * Says which Stripe price sells a price; null takes it off sale. Platform admins only.
   * @throws {InvalidRequestError} `invalid_stripe_price`: it is 1 to 255 characters without spaces.
   * @throws {NotFoundError} `price_not_found`.
   * @throws {ConflictError} `stripe_price_taken`: it sells another price.
   * @throws {PermissionError} `platform_admin_only`.
   */
  setStripePrice(priceId: string, stripePriceId: string | null): Promise<PlanPrice> {
    const args = { price_id: priceId, stripe_price_id: stripePriceId };
    return call(this.#client, "set_stripe_price", args, PlanPrice);
  }

  /**
   * How billing did in [from, to). Platform admins only.
   * @throws {PermissionError} `platform_admin_only`.
   */
  kpis(from: Time, to: Time): Promise<BillingKpis> {
    const args = { from_ts: iso(from), to_ts: iso(to) };
    return callOne(this.#client, "get_billing_kpis", args, BillingKpis, { get: true });
  }

  /**
   * How many webhooks came, and what became of them, since ever. Platform admins only.
   * @throws {PermissionError} `platform_admin_only`.
   */
  webhookCounts(): Promise<WebhookCount[]> {
    return callRows(this.#client, "get_webhook_counts", {}, WebhookCount, { get: true });
  }
}
