import type { Stripe } from "stripe";
import { idOf } from "./ids.ts";
import type { State } from "./state.ts";

/** What the payment of an invoice means for its subscription. */
export function invoicePaid(state: State, invoice: Stripe.Invoice): void {
  const subscription = subscriptionOf(state, invoice);
  if (!subscription) return;
  const notes = state.subscriptionNotes.get(subscription.id);
  if (notes?.pendingChange?.invoice === invoice.id) {
    const { apply } = notes.pendingChange;
    delete notes.pendingChange;
    state.events.change("customer.subscription.updated", subscription, () => {
      subscription.pending_update = null;
      apply();
    });
    state.events.emit("customer.subscription.pending_update_applied", subscription);
  }
  const waits = ["incomplete", "past_due", "unpaid"].includes(subscription.status);
  if (waits && subscription.latest_invoice === invoice.id) {
    state.events.change("customer.subscription.updated", subscription, () => {
      subscription.status = "active";
    });
  }
}

/** A subscription whose invoice was declined is past due; an incomplete one stays so, as does a pending change. */
export function invoiceFailed(state: State, invoice: Stripe.Invoice): void {
  const subscription = subscriptionOf(state, invoice);
  if (!subscription || state.subscriptionNotes.get(subscription.id)?.pendingChange) return;
  if (!["active", "trialing"].includes(subscription.status)) return;
  state.events.change("customer.subscription.updated", subscription, () => {
    subscription.status = "past_due";
  });
}

export function subscriptionOf(state: State, invoice: Stripe.Invoice): Stripe.Subscription | undefined {
  const reference = invoice.parent?.subscription_details?.subscription;
  return reference === undefined ? undefined : state.subscriptions.get(idOf(reference));
}
