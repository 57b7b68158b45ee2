import type { Stripe } from "stripe";
import { newId } from "./ids.ts";
import type { State } from "./state.ts";

/** The intent to pay an invoice, which its finalization makes. */
export function createPaymentIntent(state: State, invoice: Stripe.Invoice): Stripe.PaymentIntent {
  const id = newId("pi");
  const intent: Stripe.PaymentIntent = {
    id,
    object: "payment_intent",
    allowed_payment_method_types: null,
    amount: invoice.amount_due,
    amount_capturable: 0,
    amount_received: 0,
    application: null,
    application_fee_amount: null,
    automatic_payment_methods: null,
    canceled_at: null,
    cancellation_reason: null,
    capture_method: "automatic",
    client_secret: newId(`${id}_secret`),
    confirmation_method: "automatic",
    created: state.clock.now(),
    currency: invoice.currency,
    customer: invoice.customer,
    customer_account: null,
    description:
      invoice.billing_reason === "subscription_create" ? "Subscription creation" : "Subscription update",
    excluded_payment_method_types: null,
    last_payment_error: null,
    latest_charge: null,
    livemode: false,
    managed_payments: null,
    metadata: {},
    next_action: null,
    on_behalf_of: null,
    payment_method: null,
    payment_method_configuration_details: null,
    payment_method_options: null,
    payment_method_types: ["card"],
    payment_record: null,
    processing: null,
    receipt_email: null,
    review: null,
    setup_future_usage: "off_session",
    shipping: null,
    source: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: "requires_payment_method",
    transfer_group: null,
  };
  state.paymentIntents.set(id, intent);
  state.events.emit("payment_intent.created", intent);
  return intent;
}

/** One charge of the intent's amount, which succeeds or is declined. */
export function charge(
  state: State,
  intent: Stripe.PaymentIntent,
  paymentMethod: string,
  works: boolean,
): void {
  const made = chargeOf(state, intent, paymentMethod, works);
  state.charges.set(made.id, made);
  intent.latest_charge = made.id;
  if (works) {
    intent.status = "succeeded";
    intent.amount_received = intent.amount;
    intent.payment_method = paymentMethod;
    intent.last_payment_error = null;
    state.events.emit("charge.succeeded", made);
    state.events.emit("payment_intent.succeeded", intent);
    return;
  }
  intent.last_payment_error = {
    charge: made.id,
    code: "card_declined",
    decline_code: "generic_decline",
    message: "Your card was declined.",
    type: "card_error",
  };
  state.events.emit("charge.failed", made);
  state.events.emit("payment_intent.payment_failed", intent);
}

function chargeOf(
  state: State,
  intent: Stripe.PaymentIntent,
  paymentMethod: string,
  works: boolean,
): Stripe.Charge {
  return {
    id: newId("ch"),
    object: "charge",
    amount: intent.amount,
    amount_captured: works ? intent.amount : 0,
    amount_refunded: 0,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: works ? newId("txn") : null,
    billing_details: { address: null, email: null, name: null, phone: null, tax_id: null },
    calculated_statement_descriptor: null,
    captured: works,
    created: state.clock.now(),
    currency: intent.currency,
    customer: intent.customer,
    description: intent.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: works ? null : "card_declined",
    failure_message: works ? null : "Your card was declined.",
    fraud_details: {},
    livemode: false,
    metadata: {},
    on_behalf_of: null,
    outcome: {
      advice_code: null,
      network_advice_code: null,
      network_decline_code: null,
      network_status: works ? "approved_by_network" : "declined_by_network",
      reason: works ? null : "generic_decline",
      risk_level: "normal",
      seller_message: works
        ? "Payment complete."
        : "The bank did not return any further details with this decline.",
      type: works ? "authorized" : "issuer_declined",
    },
    paid: works,
    payment_intent: intent.id,
    payment_method: paymentMethod,
    payment_method_details: null,
    receipt_email: null,
    receipt_number: null,
    receipt_url: null,
    refunded: false,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: works ? "succeeded" : "failed",
    transfer_data: null,
    transfer_group: null,
  };
}

export function invoicePaymentOf(
  invoice: Stripe.Invoice,
  intent: Stripe.PaymentIntent,
  created: number,
): Stripe.InvoicePayment {
  return {
    id: newId("inpay"),
    object: "invoice_payment",
    amount_paid: null,
    amount_requested: invoice.amount_due,
    created,
    currency: invoice.currency,
    invoice: invoice.id,
    is_default: true,
    livemode: false,
    payment: { payment_intent: intent.id, type: "payment_intent" },
    status: "open",
    status_transitions: { canceled_at: null, paid_at: null },
  };
}
