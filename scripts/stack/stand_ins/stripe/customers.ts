import type { Stripe } from "stripe";
import { missing } from "./errors.ts";
import { newId } from "./ids.ts";
import type { Card, State } from "./state.ts";

export interface CustomerFields {
  email?: string | null | undefined;
  name?: string | null | undefined;
  description?: string | null | undefined;
  phone?: string | null | undefined;
  metadata?: Record<string, string> | null | undefined;
  /** The payment method that pays invoices. */
  paymentMethod?: string | undefined;
}

export function createCustomer(state: State, fields: CustomerFields): Stripe.Customer {
  const id = newId("cus");
  const customer: Stripe.Customer = {
    id,
    object: "customer",
    address: null,
    balance: 0,
    created: state.clock.now(),
    currency: null,
    default_source: null,
    delinquent: false,
    description: null,
    discount: null,
    email: null,
    invoice_prefix: id.slice(-8).toUpperCase(),
    invoice_settings: {
      custom_fields: null,
      default_payment_method: null,
      footer: null,
      rendering_options: null,
    },
    livemode: false,
    metadata: {},
    name: null,
    next_invoice_sequence: 1,
    phone: null,
    preferred_locales: [],
    shipping: null,
    tax_exempt: "none",
    test_clock: null,
  };
  assign(customer, fields);
  state.customers.set(id, customer);
  state.events.emit("customer.created", customer);
  return customer;
}

export function updateCustomer(state: State, customer: Stripe.Customer, fields: CustomerFields): void {
  state.events.change("customer.updated", customer, () => assign(customer, fields));
}

/** Forgets the customer, whose subscriptions are to be over. */
export function deleteCustomer(state: State, customer: Stripe.Customer): void {
  state.customers.delete(customer.id);
  state.deletedCustomers.add(customer.id);
  state.events.emit("customer.deleted", customer);
}

function assign(customer: Stripe.Customer, fields: CustomerFields): void {
  const { metadata, paymentMethod, ...plain } = fields;
  for (const [key, value] of Object.entries(plain)) {
    if (value !== undefined) Object.assign(customer, { [key]: value });
  }
  customer.metadata = mergeMetadata(customer.metadata, metadata);
  if (paymentMethod) customer.invoice_settings.default_payment_method = paymentMethod;
}

/** Stripe adds the keys that are given; an empty value takes a key away, null takes all. */
export function mergeMetadata(
  before: Stripe.Metadata,
  given: Record<string, string> | null | undefined,
): Stripe.Metadata {
  if (given === null) return {};
  return Object.fromEntries(Object.entries({ ...before, ...given }).filter(([, value]) => value !== ""));
}

export function customerOf(state: State, id: string, param?: string): Stripe.Customer {
  const customer = state.customers.get(id);
  if (!customer) throw missing("customer", id, param);
  return customer;
}

/** Gives the customer a card that pays, or one that is declined whenever it is charged. */
export function setCard(state: State, customer: Stripe.Customer, card: Card): void {
  updateCustomer(state, customer, { paymentMethod: newPaymentMethod(state, card) });
}

function newPaymentMethod(state: State, card: Card): string {
  const id = newId("pm");
  state.cards.set(id, card);
  return id;
}

/**
 * How a payment method behaves. Beside those that `setCard` makes these are Stripe's test methods, such as `pm_card_visa`
 * and `pm_card_visa_chargeDeclined`.
 */
export const cardOf = (state: State, paymentMethod: string): Card =>
  state.cards.get(paymentMethod) ?? (/declined|fail/i.test(paymentMethod) ? "declined" : "works");

export function paymentMethodOf(state: State, customerId: string): string | undefined {
  const method = state.customers.get(customerId)?.invoice_settings.default_payment_method;
  return typeof method === "string" ? method : undefined;
}
