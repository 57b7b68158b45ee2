import type { Stripe } from "stripe";
import { amountOf, intervalOf } from "./catalog.ts";
import { cardOf, customerOf, paymentMethodOf } from "./customers.ts";
import { cardDeclined, invalid } from "./errors.ts";
import { idOf } from "./ids.ts";
import { onlyItem, periodLine, type Sold, trialLine } from "./invoice_objects.ts";
import { collect, draft, issue, voidInvoice } from "./invoices.ts";
import { DAY, HOUR, periodFrom } from "./periods.ts";
import type { State } from "./state.ts";
import { newSubscriptionOf } from "./subscription_objects.ts";

/** How long a first payment may be missing. */
export const INCOMPLETE_FOR = 23 * HOUR;
export const TRIAL_WARNING = 3 * DAY;

export type PaymentBehavior =
  | "allow_incomplete"
  | "default_incomplete"
  | "error_if_incomplete"
  | "pending_if_incomplete";

export interface NewSubscription {
  customer: string;
  price: Stripe.Price;
  quantity: number;
  metadata: Stripe.Metadata;
  paymentBehavior: PaymentBehavior;
  trialEnd?: number | undefined;
  trialSettings?: Stripe.Subscription.TrialSettings | null | undefined;
  defaultPaymentMethod?: string | undefined;
  cancelAtPeriodEnd?: boolean | undefined;
}

/**
 * Makes the subscription and its first invoice. Unless it is free or on trial it begins `incomplete`, and is active once
 * that invoice is paid, which happens here when the payment behaviour lets it.
 */
export function createSubscription(state: State, fields: NewSubscription): Stripe.Subscription {
  const created = state.clock.now();
  const { price, quantity, trialEnd } = fields;
  const onTrial = trialEnd !== undefined && trialEnd > created;
  const free = amountOf(price, quantity) === 0;
  const method = fields.defaultPaymentMethod ?? paymentMethodOf(state, fields.customer);
  const charges = !onTrial && !free && fields.paymentBehavior !== "default_incomplete";
  if (charges) assertPayable(state, method, fields.paymentBehavior);

  const subscription = newSubscriptionOf({
    created,
    customer: fields.customer,
    defaultPaymentMethod: fields.defaultPaymentMethod ?? null,
    metadata: fields.metadata,
    period: onTrial ? { start: created, end: trialEnd } : periodFrom(created, intervalOf(price), created),
    price,
    quantity,
    status: onTrial ? "trialing" : free ? "active" : "incomplete",
    trialEnd: onTrial ? trialEnd : null,
    trialSettings: fields.trialSettings ?? null,
  });
  if (fields.cancelAtPeriodEnd) scheduleEnd(subscription, "period_end", created);
  const told = onTrial && trialEnd - created <= TRIAL_WARNING;
  state.subscriptions.set(subscription.id, subscription);
  state.subscriptionNotes.set(subscription.id, { pendingLines: [], toldOfTrialEnd: told });
  const customer = customerOf(state, fields.customer);
  customer.currency ??= price.currency;

  const line = (onTrial ? trialLine : periodLine)(subscription, soldOf(state, subscription));
  const invoice = draft(state, subscription, "subscription_create", [line]);
  subscription.latest_invoice = invoice.id;
  state.events.emit("customer.subscription.created", subscription);
  if (told) state.events.emit("customer.subscription.trial_will_end", subscription);
  issue(state, invoice);
  if (charges && invoice.status === "open") collect(state, invoice, { automatic: true });
  return subscription;
}

function assertPayable(state: State, method: string | undefined, behavior: PaymentBehavior): void {
  if (method === undefined) {
    throw invalid(
      "This customer has no attached payment source or default payment method. Please consider adding a default payment method.",
      undefined,
      "resource_missing",
    );
  }
  if (behavior === "error_if_incomplete" && cardOf(state, method) === "declined") throw cardDeclined();
}

/** What the subscription's item sells in the period that runs. */
export function soldOf(state: State, subscription: Stripe.Subscription): Sold {
  const item = onlyItem(subscription);
  return {
    period: { start: item.current_period_start, end: item.current_period_end },
    price: item.price,
    product: productName(state, item.price),
    quantity: item.quantity ?? 1,
  };
}

export const productName = (state: State, price: Stripe.Price): string =>
  state.products.get(idOf(price.product))?.name ?? idOf(price.product);

export const isOver = (subscription: Stripe.Subscription): boolean =>
  ["canceled", "incomplete_expired"].includes(subscription.status);

/** Says when the subscription is to end: with its period, at a moment, or (null) not at all. */
export function scheduleEnd(
  subscription: Stripe.Subscription,
  end: "period_end" | number | null,
  now: number,
): void {
  const atPeriodEnd = end === "period_end";
  const details = subscription.cancellation_details ?? {
    comment: null,
    feedback: null,
    feedback_option: null,
    reason: null,
  };
  subscription.cancel_at_period_end = atPeriodEnd;
  subscription.cancel_at = atPeriodEnd ? onlyItem(subscription).current_period_end : end;
  subscription.canceled_at = end === null ? null : now;
  subscription.cancellation_details = {
    ...details,
    reason: end === null ? null : "cancellation_requested",
  };
}

/** Ends the subscription at once; what was left unpaid is not collected any more. */
export function cancel(
  state: State,
  subscription: Stripe.Subscription,
  reason: Stripe.Subscription.CancellationDetails.Reason = "cancellation_requested",
): void {
  const incomplete = subscription.status === "incomplete";
  const now = state.clock.now();
  if (!incomplete) {
    scheduleEnd(subscription, null, now);
    subscription.canceled_at = now;
    if (subscription.cancellation_details) subscription.cancellation_details.reason = reason;
  }
  end(state, subscription, incomplete ? "incomplete_expired" : "canceled");
  state.events.emit("customer.subscription.deleted", subscription);
}

/** Ends a subscription that `scheduleEnd` said the end of: it keeps what was said. */
export function endAsScheduled(state: State, subscription: Stripe.Subscription): void {
  end(state, subscription, "canceled");
  state.events.emit("customer.subscription.deleted", subscription);
}

/** An incomplete subscription whose time is over: Stripe tells of it as an update. */
export function expireIncomplete(state: State, subscription: Stripe.Subscription): void {
  state.events.change("customer.subscription.updated", subscription, () => {
    subscription.status = "incomplete_expired";
    subscription.canceled_at = state.clock.now();
    subscription.ended_at = state.clock.now();
  });
  end(state, subscription, "incomplete_expired");
}

function end(
  state: State,
  subscription: Stripe.Subscription,
  status: "canceled" | "incomplete_expired",
): void {
  const now = state.clock.now();
  subscription.status = status;
  subscription.canceled_at ??= now;
  subscription.ended_at ??= now;
  subscription.pending_update = null;
  state.subscriptionNotes.set(subscription.id, { pendingLines: [], toldOfTrialEnd: true });
  for (const invoice of state.invoices.values()) {
    const of = invoice.parent?.subscription_details?.subscription;
    if (of !== subscription.id || invoice.status !== "open") continue;
    if (status === "incomplete_expired") voidInvoice(state, invoice);
    else {
      state.events.change("invoice.updated", invoice, () => {
        invoice.auto_advance = false;
        invoice.next_payment_attempt = null;
      });
    }
  }
}
