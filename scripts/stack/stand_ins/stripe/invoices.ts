import type { Stripe } from "stripe";
import { cardOf, customerOf, paymentMethodOf } from "./customers.ts";
import { invalid } from "./errors.ts";
import { idOf } from "./ids.ts";
import { draftOf } from "./invoice_objects.ts";
import { charge, createPaymentIntent, invoicePaymentOf } from "./payments.ts";
import { DAY } from "./periods.ts";
import { invoiceFailed, invoicePaid, subscriptionOf } from "./standing.ts";
import type { State } from "./state.ts";

/** Days after the first failure on which the card is tried again. */
export const RETRY_DAYS = [3, 5, 7];

/** A draft of the lines and of those that waited for the next invoice. It is told of by `issue`. */
export function draft(
  state: State,
  subscription: Stripe.Subscription,
  reason: Stripe.Invoice.BillingReason,
  lines: Stripe.InvoiceLineItem[],
): Stripe.Invoice {
  const notes = state.subscriptionNotes.get(subscription.id);
  const pending = notes?.pendingLines.splice(0) ?? [];
  const customer = customerOf(state, idOf(subscription.customer));
  const invoice = draftOf(customer, subscription, {
    created: state.clock.now(),
    lines: [...pending, ...lines],
    reason,
  });
  state.invoices.set(invoice.id, invoice);
  return invoice;
}

/** Tells of the draft and finalizes it; the customer's balance goes into it. One that asks for nothing is paid. */
export function issue(state: State, invoice: Stripe.Invoice): void {
  state.events.emit("invoice.created", invoice);
  const now = state.clock.now();
  const customer = customerOf(state, customerIdOf(invoice));
  const sequence = customer.next_invoice_sequence ?? 1;
  const owed = invoice.total + customer.balance;
  Object.assign(invoice, {
    amount_due: Math.max(0, owed),
    amount_remaining: Math.max(0, owed),
    effective_at: now,
    ending_balance: Math.min(0, owed),
    hosted_invoice_url: `${state.url}/i/${invoice.id}`,
    invoice_pdf: `${state.url}/i/${invoice.id}/pdf`,
    number: `${customer.invoice_prefix}-${String(sequence).padStart(4, "0")}`,
    starting_balance: customer.balance,
    status: "open",
  });
  invoice.status_transitions.finalized_at = now;
  if (invoice.amount_due > 0) {
    const intent = createPaymentIntent(state, invoice);
    invoice.payments?.data.push(invoicePaymentOf(invoice, intent, now));
    invoice.confirmation_secret = { client_secret: intent.client_secret ?? "", type: "payment_intent" };
  }
  state.events.emit("invoice.finalized", invoice);
  const balance = invoice.ending_balance ?? 0;
  customer.next_invoice_sequence = sequence + 1;
  if (customer.balance !== balance) {
    state.events.change("customer.updated", customer, () => {
      customer.balance = balance;
    });
  }
  if (invoice.amount_due === 0) settle(state, invoice);
}

/**
 * Charges the open invoice to the payment method, without one to the customer's. False when it was declined, or there is
 * none. `automatic` attempts follow the schedule of retries.
 */
export function collect(
  state: State,
  invoice: Stripe.Invoice,
  options: { automatic?: boolean; paymentMethod?: string | undefined } = {},
): boolean {
  const method = options.paymentMethod ?? payerOf(state, invoice);
  const works = method !== undefined && cardOf(state, method) === "works";
  const intent = paymentIntentOf(state, invoice);
  if (intent && method !== undefined) charge(state, intent, method, works);
  const counts = options.automatic || invoice.attempt_count === 0;
  if (works) {
    settle(state, invoice, { amountPaid: invoice.amount_due, counts });
    return true;
  }
  state.events.change("invoice.updated", invoice, () => {
    invoice.attempted = true;
    if (counts) invoice.attempt_count++;
    if (counts) scheduleRetry(state, invoice);
  });
  state.events.emit("invoice.payment_failed", invoice);
  invoiceFailed(state, invoice);
  return false;
}

function scheduleRetry(state: State, invoice: Stripe.Invoice): void {
  if (invoice.billing_reason === "subscription_create") return;
  const dunning = state.dunning.get(invoice.id) ?? { failedAt: state.clock.now(), retries: 0 };
  const days = RETRY_DAYS[dunning.retries];
  invoice.next_payment_attempt = days === undefined ? null : dunning.failedAt + days * DAY;
  state.dunning.set(invoice.id, { ...dunning, retries: dunning.retries + 1 });
}

/** The invoice is paid: with `amountPaid` by its payment intent, otherwise by the customer's balance or other means. */
export function settle(
  state: State,
  invoice: Stripe.Invoice,
  { amountPaid = 0, counts = false }: { amountPaid?: number; counts?: boolean } = {},
): void {
  const now = state.clock.now();
  const [payment] = invoice.payments?.data ?? [];
  invoicePaid(state, invoice);
  state.events.change("invoice.updated", invoice, () => {
    if (counts) invoice.attempt_count++;
    Object.assign(invoice, {
      amount_paid: amountPaid,
      amount_remaining: 0,
      attempted: true,
      next_payment_attempt: null,
      status: "paid",
    });
    invoice.status_transitions.paid_at = now;
    if (payment && amountPaid > 0) {
      Object.assign(payment, { amount_paid: amountPaid, status: "paid" });
      payment.status_transitions.paid_at = now;
    }
  });
  state.dunning.delete(invoice.id);
  state.events.emit("invoice.paid", invoice);
  state.events.emit("invoice.payment_succeeded", invoice);
  if (payment?.status === "paid") state.events.emit("invoice_payment.paid", payment);
}

export function voidInvoice(state: State, invoice: Stripe.Invoice): void {
  if (invoice.status !== "open")
    throw invalid("You can only pass in open invoices. This invoice isn't open.");
  const intent = paymentIntentOf(state, invoice);
  state.events.change("invoice.updated", invoice, () => {
    Object.assign(invoice, { auto_advance: false, next_payment_attempt: null, status: "void" });
    invoice.status_transitions.voided_at = state.clock.now();
  });
  if (intent) {
    intent.status = "canceled";
    intent.canceled_at = state.clock.now();
    intent.cancellation_reason = "void_invoice";
    state.events.emit("payment_intent.canceled", intent);
  }
  state.events.emit("invoice.voided", invoice);
}

export function paymentIntentOf(state: State, invoice: Stripe.Invoice): Stripe.PaymentIntent | undefined {
  const intent = invoice.payments?.data[0]?.payment.payment_intent;
  return intent === undefined ? undefined : state.paymentIntents.get(idOf(intent));
}

function payerOf(state: State, invoice: Stripe.Invoice): string | undefined {
  const own = subscriptionOf(state, invoice)?.default_payment_method;
  return own ? idOf(own) : paymentMethodOf(state, customerIdOf(invoice));
}

const customerIdOf = (invoice: Stripe.Invoice): string =>
  invoice.customer === null ? "" : idOf(invoice.customer);
