import type { Stripe } from "stripe";
import { amountOf } from "./catalog.ts";
import { createCustomer, customerOf, setCard } from "./customers.ts";
import { invalid } from "./errors.ts";
import { idOf, newId } from "./ids.ts";
import { collect } from "./invoices.ts";
import { DAY } from "./periods.ts";
import type { Card, CheckoutNotes, State } from "./state.ts";
import { createSubscription, expireIncomplete, productName } from "./subscriptions.ts";

export interface NewCheckout {
  notes: CheckoutNotes;
  customer: Stripe.Customer | undefined;
  customerEmail: string | undefined;
  clientReferenceId: string | undefined;
  metadata: Stripe.Metadata;
  successUrl: string;
  cancelUrl: string | undefined;
  expiresAt: number | undefined;
}

export function createCheckout(state: State, fields: NewCheckout): Stripe.Checkout.Session {
  const created = state.clock.now();
  const id = newId("cs_test");
  const { price, quantity, trialDays, trialEnd } = fields.notes;
  const amount = trialDays === undefined && trialEnd === undefined ? amountOf(price, quantity) : 0;
  const session: Stripe.Checkout.Session = {
    id,
    object: "checkout.session",
    adaptive_pricing: null,
    after_expiration: null,
    allow_promotion_codes: null,
    allowed_payment_method_types: null,
    amount_subtotal: amount,
    amount_total: amount,
    automatic_tax: { enabled: false, liability: null, provider: null, status: null },
    billing_address_collection: null,
    cancel_url: fields.cancelUrl ?? null,
    client_reference_id: fields.clientReferenceId ?? null,
    client_secret: null,
    collected_information: null,
    consent: null,
    consent_collection: null,
    created,
    currency: price.currency,
    currency_conversion: null,
    custom_fields: [],
    custom_text: {
      after_submit: null,
      shipping_address: null,
      submit: null,
      terms_of_service_acceptance: null,
    },
    customer: fields.customer?.id ?? null,
    customer_account: null,
    customer_creation: fields.customer ? null : "always",
    customer_details: detailsOf(fields.customer?.email ?? fields.customerEmail ?? null),
    customer_email: fields.customerEmail ?? null,
    discounts: [],
    expires_at: fields.expiresAt ?? created + DAY,
    integration_identifier: null,
    invoice: null,
    invoice_creation: null,
    line_items: {
      object: "list",
      data: [lineItemOf(state, price, quantity)],
      has_more: false,
      url: `/v1/checkout/sessions/${id}/line_items`,
    },
    livemode: false,
    locale: null,
    managed_payments: null,
    metadata: fields.metadata,
    mode: "subscription",
    origin_context: null,
    payment_intent: null,
    payment_link: null,
    payment_method_collection: "always",
    payment_method_configuration_details: null,
    payment_method_options: null,
    payment_method_types: ["card"],
    payment_status: "unpaid",
    permissions: null,
    phone_number_collection: { enabled: false },
    recovered_from: null,
    saved_payment_method_options: null,
    setup_intent: null,
    shipping_address_collection: null,
    shipping_cost: null,
    shipping_options: [],
    status: "open",
    submit_type: null,
    subscription: null,
    success_url: fields.successUrl,
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
    ui_mode: "hosted_page",
    url: `${state.url}/c/pay/${id}`,
    wallet_options: null,
  };
  state.checkouts.set(id, session);
  state.checkoutNotes.set(id, fields.notes);
  return session;
}

/** The customer gives a card. False when it is declined: the session stays open, and the next card pays the same invoice. */
export function payCheckout(
  state: State,
  session: Stripe.Checkout.Session,
  card: Card,
  email: string | undefined,
): boolean {
  const notes = state.checkoutNotes.get(session.id);
  if (!notes || session.status !== "open") throw invalid("This Checkout Session is not open any more.");
  const customer = customerFor(state, session, notes, email);
  setCard(state, customer, card);
  const subscription = subscriptionFor(state, customer, notes);
  notes.attempted = { customer: customer.id, subscription: subscription.id };
  const invoice = state.invoices.get(idOf(subscription.latest_invoice ?? ""));
  if (invoice?.status === "open" && !collect(state, invoice)) return false;

  Object.assign(session, {
    customer: customer.id,
    customer_details: detailsOf(customer.email),
    invoice: invoice?.id ?? null,
    payment_status: subscription.status === "trialing" ? "no_payment_required" : "paid",
    status: "complete",
    subscription: subscription.id,
    url: null,
  });
  state.events.emit("checkout.session.completed", session);
  return true;
}

function customerFor(
  state: State,
  session: Stripe.Checkout.Session,
  notes: CheckoutNotes,
  email: string | undefined,
): Stripe.Customer {
  const known = session.customer === null ? notes.attempted?.customer : idOf(session.customer);
  if (known !== undefined) return customerOf(state, known);
  return createCustomer(state, { email: session.customer_email ?? email });
}

function subscriptionFor(state: State, customer: Stripe.Customer, notes: CheckoutNotes): Stripe.Subscription {
  const begun = state.subscriptions.get(notes.attempted?.subscription ?? "");
  if (begun?.status === "incomplete") return begun;
  const { trialDays } = notes;
  return createSubscription(state, {
    customer: customer.id,
    metadata: notes.metadata,
    paymentBehavior: "default_incomplete",
    price: notes.price,
    quantity: notes.quantity,
    trialEnd: trialDays === undefined ? notes.trialEnd : state.clock.now() + trialDays * DAY,
    trialSettings: notes.trialSettings,
  });
}

/** Closes the session; the incomplete subscription that a declined card left ends with it. */
export function expireCheckout(state: State, session: Stripe.Checkout.Session): void {
  const begun = state.subscriptions.get(state.checkoutNotes.get(session.id)?.attempted?.subscription ?? "");
  session.status = "expired";
  session.url = null;
  state.events.emit("checkout.session.expired", session);
  if (begun?.status === "incomplete") expireIncomplete(state, begun);
}

function detailsOf(email: string | null): Stripe.Checkout.Session.CustomerDetails {
  return {
    address: null,
    business_name: null,
    email,
    individual_name: null,
    name: null,
    phone: null,
    tax_exempt: "none",
    tax_ids: [],
  };
}

function lineItemOf(state: State, price: Stripe.Price, quantity: number): Stripe.LineItem {
  const amount = amountOf(price, quantity);
  return {
    id: newId("li"),
    object: "item",
    adjustable_quantity: null,
    amount_discount: 0,
    amount_subtotal: amount,
    amount_tax: 0,
    amount_total: amount,
    currency: price.currency,
    description: productName(state, price),
    metadata: {},
    price,
    quantity,
  };
}
