import type { Stripe } from "stripe";
import { intervalOf } from "./catalog.ts";
import { expireCheckout } from "./checkout.ts";
import { paymentMethodOf } from "./customers.ts";
import { idOf } from "./ids.ts";
import { onlyItem, periodLine } from "./invoice_objects.ts";
import { collect, draft, issue, voidInvoice } from "./invoices.ts";
import { type Period, periodFrom } from "./periods.ts";
import { subscriptionOf } from "./standing.ts";
import type { State } from "./state.ts";
import {
  cancel,
  endAsScheduled,
  expireIncomplete,
  INCOMPLETE_FOR,
  isOver,
  soldOf,
  TRIAL_WARNING,
} from "./subscriptions.ts";

interface Due {
  at: number;
  happen(): void;
}

/** Lets everything that is due by `until` happen in the order in which it was due, each at its own moment. */
export function runDue(state: State, until: number): void {
  for (let next = nextDue(state); next && next.at <= until; next = nextDue(state)) {
    state.clock.at(next.at, next.happen);
  }
}

function nextDue(state: State): Due | undefined {
  let first: Due | undefined;
  for (const due of allDue(state)) {
    if (!first || due.at < first.at) first = due;
  }
  return first;
}

function* allDue(state: State): Generator<Due> {
  for (const session of state.checkouts.values()) {
    if (session.status === "open") {
      yield { at: session.expires_at, happen: () => expireCheckout(state, session) };
    }
  }
  for (const invoice of state.invoices.values()) {
    if (invoice.status === "open" && invoice.next_payment_attempt !== null) {
      yield { at: invoice.next_payment_attempt, happen: () => retry(state, invoice) };
    }
  }
  for (const subscription of state.subscriptions.values()) {
    if (!isOver(subscription)) yield* dueOf(state, subscription);
  }
}

function* dueOf(state: State, subscription: Stripe.Subscription): Generator<Due> {
  if (subscription.status === "incomplete") {
    const at = subscription.created + INCOMPLETE_FOR;
    yield { at, happen: () => expireIncomplete(state, subscription) };
    return;
  }
  if (subscription.cancel_at !== null) {
    yield { at: subscription.cancel_at, happen: () => endAsScheduled(state, subscription) };
  }
  if (subscription.status === "paused") return;
  const notes = state.subscriptionNotes.get(subscription.id);
  if (subscription.pending_update) {
    const at = subscription.pending_update.expires_at;
    yield { at, happen: () => dropPendingUpdate(state, subscription) };
  }
  if (subscription.status === "trialing" && subscription.trial_end !== null && !notes?.toldOfTrialEnd) {
    yield { at: subscription.trial_end - TRIAL_WARNING, happen: () => warnOfTrialEnd(state, subscription) };
  }
  yield { at: onlyItem(subscription).current_period_end, happen: () => renew(state, subscription) };
}

/** The period or trial is over: the next one begins and is billed, or a trial without a card ends as it was said. */
function renew(state: State, subscription: Stripe.Subscription): void {
  const afterTrial = subscription.status === "trialing";
  if (afterTrial && !hasCard(state, subscription)) {
    const ending = subscription.trial_settings?.end_behavior.missing_payment_method;
    if (ending === "cancel" || ending === "pause") {
      (ending === "cancel" ? cancel : pause)(state, subscription);
      return;
    }
  }
  const item = onlyItem(subscription);
  beginPeriod(
    state,
    subscription,
    periodFrom(subscription.billing_cycle_anchor, intervalOf(item.price), item.current_period_end),
  );
}

/** Begins the period and bills it; a trial or pause is over with that. */
export function beginPeriod(state: State, subscription: Stripe.Subscription, period: Period): void {
  const item = onlyItem(subscription);
  const line = periodLine(subscription, { ...soldOf(state, subscription), period });
  const invoice = draft(state, subscription, "subscription_cycle", [line]);
  state.events.change("customer.subscription.updated", subscription, () => {
    item.current_period_start = period.start;
    item.current_period_end = period.end;
    subscription.latest_invoice = invoice.id;
    if (["trialing", "paused"].includes(subscription.status)) subscription.status = "active";
  });
  issue(state, invoice);
  if (invoice.status === "open") collect(state, invoice, { automatic: true });
}

function pause(state: State, subscription: Stripe.Subscription): void {
  state.events.change("customer.subscription.updated", subscription, () => {
    subscription.status = "paused";
  });
  state.events.emit("customer.subscription.paused", subscription);
}

/** The card is tried again; after the last time the subscription ends. */
function retry(state: State, invoice: Stripe.Invoice): void {
  if (collect(state, invoice, { automatic: true }) || invoice.next_payment_attempt !== null) return;
  const subscription = subscriptionOf(state, invoice);
  if (subscription && !isOver(subscription)) cancel(state, subscription, "payment_failed");
}

function dropPendingUpdate(state: State, subscription: Stripe.Subscription): void {
  const notes = state.subscriptionNotes.get(subscription.id);
  const invoice = state.invoices.get(notes?.pendingChange?.invoice ?? "");
  delete notes?.pendingChange;
  state.events.change("customer.subscription.updated", subscription, () => {
    subscription.pending_update = null;
  });
  state.events.emit("customer.subscription.pending_update_expired", subscription);
  if (invoice?.status === "open") voidInvoice(state, invoice);
}

function warnOfTrialEnd(state: State, subscription: Stripe.Subscription): void {
  const notes = state.subscriptionNotes.get(subscription.id);
  if (notes) notes.toldOfTrialEnd = true;
  state.events.emit("customer.subscription.trial_will_end", subscription);
}

const hasCard = (state: State, subscription: Stripe.Subscription): boolean =>
  subscription.default_payment_method !== null ||
  paymentMethodOf(state, idOf(subscription.customer)) !== undefined;
