import type { Stripe } from "stripe";
import { amountOf, intervalOf, planOf } from "./catalog.ts";
import { cardOf, customerOf, mergeMetadata, paymentMethodOf } from "./customers.ts";
import { cardDeclined, invalid } from "./errors.ts";
import { idOf } from "./ids.ts";
import { onlyItem, periodLine, remainingLine, type Sold, unusedLine } from "./invoice_objects.ts";
import { collect, draft, issue } from "./invoices.ts";
import { type Period, periodFrom, remainingShare } from "./periods.ts";
import { invoiceFailed } from "./standing.ts";
import type { State } from "./state.ts";
import {
  INCOMPLETE_FOR,
  isOver,
  type PaymentBehavior,
  productName,
  scheduleEnd,
  soldOf,
  TRIAL_WARNING,
} from "./subscriptions.ts";

export interface SubscriptionChange {
  price?: Stripe.Price | undefined;
  quantity?: number | undefined;
  prorationBehavior?: "create_prorations" | "always_invoice" | "none" | undefined;
  /** The moment from which the change counts, instead of now. */
  prorationDate?: number | undefined;
  paymentBehavior?: PaymentBehavior | undefined;
  /** Begins a new period now. */
  resetsAnchor?: boolean | undefined;
  trialEnd?: "now" | number | undefined;
  end?: "period_end" | number | null | undefined;
  metadata?: Record<string, string> | null | undefined;
  defaultPaymentMethod?: string | undefined;
  description?: string | undefined;
  comment?: string | undefined;
  feedback?: Stripe.Subscription.CancellationDetails.Feedback | undefined;
}

/** A change of what is sold: how the subscription will look, and what its invoice says of it. */
interface Plan {
  apply(): void;
  lines: Stripe.InvoiceLineItem[];
  billsNow: boolean;
}

/**
 * Changes the subscription as Stripe does: a price for the same interval keeps the period and is prorated; one for
 * another interval, the first one that costs, and the end of a trial begin a new period that is billed at once.
 */
export function changeSubscription(
  state: State,
  subscription: Stripe.Subscription,
  change: SubscriptionChange,
): void {
  if (isOver(subscription) && !isRemark(change)) {
    throw invalid("A canceled subscription can only update its cancellation_details and metadata.");
  }
  const plan = planChange(state, subscription, change);
  const behavior = change.paymentBehavior ?? "allow_incomplete";
  const declined = plan.billsNow && owes(state, subscription, plan.lines) && !canPay(state, subscription);
  if (declined && behavior === "error_if_incomplete") throw cardDeclined();
  if (declined && behavior === "pending_if_incomplete") {
    holdChange(state, subscription, plan, change);
    return;
  }

  const notes = state.subscriptionNotes.get(subscription.id);
  let invoice: Stripe.Invoice | undefined;
  state.events.change("customer.subscription.updated", subscription, () => {
    assign(subscription, change);
    plan.apply();
    if (change.end !== undefined) scheduleEnd(subscription, change.end, state.clock.now());
    remark(subscription, change);
    if (plan.billsNow) {
      invoice = draft(state, subscription, "subscription_update", plan.lines);
      subscription.latest_invoice = invoice.id;
    } else {
      notes?.pendingLines.push(...plan.lines);
    }
  });
  if (!invoice) return;
  issue(state, invoice);
  if (invoice.status !== "open") return;
  if (behavior === "default_incomplete") invoiceFailed(state, invoice);
  else collect(state, invoice, { automatic: true });
}

/** Whether nothing is changed but what is noted with the subscription. */
function isRemark({ comment, feedback, metadata, ...rest }: SubscriptionChange): boolean {
  return Object.values(rest).every((value) => value === undefined || value === false);
}

function planChange(state: State, subscription: Stripe.Subscription, change: SubscriptionChange): Plan {
  const item = onlyItem(subscription);
  const now = state.clock.now();
  const before = soldOf(state, subscription);
  const price = change.price ?? before.price;
  const quantity = change.quantity ?? before.quantity;
  const sells = price.id !== before.price.id || quantity !== before.quantity;
  const onTrial = subscription.status === "trialing";
  const becomesPaid = amountOf(before.price, before.quantity) === 0 && amountOf(price, quantity) > 0;
  const otherCycle = intervalOf(price) !== intervalOf(before.price) || becomesPaid;
  const resets = onTrial ? change.trialEnd === "now" : change.resetsAnchor || (sells && otherCycle);

  const period = resets
    ? periodFrom(now, intervalOf(price), now)
    : typeof change.trialEnd === "number"
      ? { start: onTrial ? before.period.start : now, end: change.trialEnd }
      : before.period;
  const after: Sold = { period, price, product: productName(state, price), quantity };
  const behavior = change.prorationBehavior ?? "create_prorations";
  const lines: Stripe.InvoiceLineItem[] = [];
  if (!onTrial && behavior !== "none" && (sells || resets)) {
    const rest: Period = { start: change.prorationDate ?? now, end: before.period.end };
    const share = (sold: Sold) =>
      remainingShare(amountOf(sold.price, sold.quantity), before.period, rest.start);
    lines.push(unusedLine(subscription, { ...before, period: rest }, share(before)));
    if (!resets) lines.push(remainingLine(subscription, { ...after, period: rest }, share(after)));
  }
  if (resets) lines.push(periodLine(subscription, after));

  return {
    apply: () => {
      Object.assign(item, { plan: planOf(price), price, quantity });
      item.current_period_start = period.start;
      item.current_period_end = period.end;
      if (resets) subscription.billing_cycle_anchor = now;
      if (change.trialEnd !== undefined) moveTrialEnd(state, subscription, change.trialEnd, now);
      if (subscription.cancel_at_period_end) subscription.cancel_at = period.end;
    },
    billsNow: resets || (behavior === "always_invoice" && lines.length > 0),
    lines,
  };
}

function moveTrialEnd(
  state: State,
  subscription: Stripe.Subscription,
  to: "now" | number,
  now: number,
): void {
  if (to === "now") {
    if (subscription.status !== "trialing") return;
    subscription.trial_end = now;
    subscription.status = "active";
    return;
  }
  if (to <= now)
    throw invalid("Invalid timestamp: must be an integer Unix timestamp in the future", "trial_end");
  subscription.trial_start ??= now;
  subscription.trial_end = to;
  subscription.billing_cycle_anchor = to;
  subscription.status = "trialing";
  const notes = state.subscriptionNotes.get(subscription.id);
  if (notes) notes.toldOfTrialEnd = to - now <= TRIAL_WARNING;
}

/** Bills the change, which waits as the pending update until that invoice is paid. */
function holdChange(
  state: State,
  subscription: Stripe.Subscription,
  plan: Plan,
  change: SubscriptionChange,
): void {
  const invoice = draft(state, subscription, "subscription_update", plan.lines);
  const notes = state.subscriptionNotes.get(subscription.id);
  if (notes) notes.pendingChange = { apply: plan.apply, invoice: invoice.id };
  const item = onlyItem(subscription);
  const price = change.price ?? item.price;
  state.events.change("customer.subscription.updated", subscription, () => {
    subscription.latest_invoice = invoice.id;
    subscription.pending_update = {
      billing_cycle_anchor: null,
      cancel_at_period_end: null,
      discount: null,
      discounts: null,
      expires_at: state.clock.now() + INCOMPLETE_FOR,
      metadata: null,
      subscription_items: [
        { ...item, plan: planOf(price), price, quantity: change.quantity ?? item.quantity ?? 1 },
      ],
      trial_end: null,
      trial_from_plan: null,
    };
  });
  issue(state, invoice);
  collect(state, invoice, { automatic: true });
}

function owes(state: State, subscription: Stripe.Subscription, lines: Stripe.InvoiceLineItem[]): boolean {
  const pending = state.subscriptionNotes.get(subscription.id)?.pendingLines ?? [];
  const total = [...pending, ...lines].reduce((sum, line) => sum + line.amount, 0);
  return total + customerOf(state, idOf(subscription.customer)).balance > 0;
}

function canPay(state: State, subscription: Stripe.Subscription): boolean {
  const own = subscription.default_payment_method;
  const method = own ? idOf(own) : paymentMethodOf(state, idOf(subscription.customer));
  return method !== undefined && cardOf(state, method) === "works";
}

function assign(subscription: Stripe.Subscription, change: SubscriptionChange): void {
  subscription.metadata = mergeMetadata(subscription.metadata, change.metadata);
  if (change.description !== undefined) subscription.description = change.description;
  if (change.defaultPaymentMethod !== undefined) {
    subscription.default_payment_method = change.defaultPaymentMethod;
  }
}

function remark(subscription: Stripe.Subscription, change: SubscriptionChange): void {
  const details = subscription.cancellation_details;
  if (!details) return;
  if (change.comment !== undefined) details.comment = change.comment;
  if (change.feedback !== undefined) details.feedback = change.feedback;
}
