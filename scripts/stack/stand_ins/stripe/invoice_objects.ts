import { Stripe } from "stripe";
import { amountOf, priceText } from "./catalog.ts";
import { idOf, newId } from "./ids.ts";
import { dateText, type Period } from "./periods.ts";

/** What a line is about: so many of a price for a period. */
export interface Sold {
  price: Stripe.Price;
  quantity: number;
  period: Period;
  /** The product's name. */
  product: string;
}

/** A whole period of a price. */
export const periodLine = (subscription: Stripe.Subscription, sold: Sold): Stripe.InvoiceLineItem =>
  lineOf(subscription, sold, {
    amount: amountOf(sold.price, sold.quantity),
    description: `${sold.quantity} × ${sold.product} (at ${priceText(sold.price)})`,
    proration: false,
  });

export const trialLine = (subscription: Stripe.Subscription, sold: Sold): Stripe.InvoiceLineItem =>
  lineOf(subscription, sold, {
    amount: 0,
    description: `Trial period for ${sold.product}`,
    proration: false,
  });

/** The credit for what is left of a period that was paid for; `sold.period` is that rest. */
export const unusedLine = (subscription: Stripe.Subscription, sold: Sold, worth: number) =>
  lineOf(subscription, sold, {
    amount: worth === 0 ? 0 : -worth,
    description: `Unused time on ${sold.product} after ${dateText(sold.period.start)}`,
    proration: true,
  });

/** The charge for the rest of a period at a price that begins within it. */
export const remainingLine = (subscription: Stripe.Subscription, sold: Sold, worth: number) =>
  lineOf(subscription, sold, {
    amount: worth,
    description: `Remaining time on ${sold.product} after ${dateText(sold.period.start)}`,
    proration: true,
  });

function lineOf(
  subscription: Stripe.Subscription,
  sold: Sold,
  fields: { amount: number; description: string; proration: boolean },
): Stripe.InvoiceLineItem {
  const { amount, description, proration } = fields;
  return {
    id: newId("il"),
    object: "line_item",
    amount,
    currency: sold.price.currency,
    description,
    discount_amounts: [],
    discountable: !proration,
    discounts: [],
    invoice: null,
    livemode: false,
    metadata: { ...subscription.metadata },
    parent: {
      invoice_item_details: null,
      subscription_item_details: {
        invoice_item: proration ? newId("ii") : null,
        proration,
        proration_details: { credited_items: null },
        subscription: subscription.id,
        subscription_item: onlyItem(subscription).id,
      },
      type: "subscription_item_details",
    },
    period: sold.period,
    pretax_credit_amounts: [],
    pricing: {
      price_details: { price: sold.price.id, product: idOf(sold.price.product) },
      type: "price_details",
      unit_amount_decimal: sold.price.unit_amount_decimal,
    },
    quantity: sold.quantity,
    quantity_decimal: Stripe.Decimal.from(sold.quantity),
    subscription: subscription.id,
    subtotal: amount,
    taxes: [],
  };
}

/** The stand-in's subscriptions have one item. */
export function onlyItem(subscription: Stripe.Subscription): Stripe.SubscriptionItem {
  const [item] = subscription.items.data;
  if (!item) throw new Error(`Subscription ${subscription.id} has no item.`);
  return item;
}

export function draftOf(
  customer: Stripe.Customer,
  subscription: Stripe.Subscription,
  fields: { reason: Stripe.Invoice.BillingReason; lines: Stripe.InvoiceLineItem[]; created: number },
): Stripe.Invoice {
  const id = newId("in");
  const { created, lines, reason } = fields;
  const total = lines.reduce((sum, line) => sum + line.amount, 0);
  for (const line of lines) line.invoice = id;
  // On a renewal it is the period that is over, in which the pending lines arose.
  const { current_period_start: start } = onlyItem(subscription);
  return {
    id,
    object: "invoice",
    account_country: "US",
    account_name: "Meterbase stand-in",
    account_tax_ids: null,
    amount_due: Math.max(0, total),
    amount_overpaid: 0,
    amount_paid: 0,
    amount_remaining: Math.max(0, total),
    amount_shipping: 0,
    application: null,
    attempt_count: 0,
    attempted: false,
    auto_advance: true,
    automatic_tax: { disabled_reason: null, enabled: false, liability: null, provider: null, status: null },
    automatically_finalizes_at: null,
    billing_reason: reason,
    collection_method: "charge_automatically",
    confirmation_secret: null,
    created,
    currency: subscription.currency,
    custom_fields: null,
    customer: customer.id,
    customer_account: null,
    customer_address: null,
    customer_email: customer.email,
    customer_name: customer.name ?? null,
    customer_phone: customer.phone ?? null,
    customer_shipping: null,
    customer_tax_exempt: "none",
    customer_tax_ids: [],
    default_payment_method: null,
    default_source: null,
    default_tax_rates: [],
    description: null,
    discounts: [],
    due_date: null,
    effective_at: null,
    ending_balance: null,
    footer: null,
    from_invoice: null,
    hosted_invoice_url: null,
    invoice_pdf: null,
    issuer: { type: "self" },
    last_finalization_error: null,
    latest_revision: null,
    lines: { object: "list", data: lines, has_more: false, url: `/v1/invoices/${id}/lines` },
    livemode: false,
    metadata: {},
    next_payment_attempt: null,
    number: null,
    on_behalf_of: null,
    parent: {
      quote_details: null,
      subscription_details: { metadata: { ...subscription.metadata }, subscription: subscription.id },
      type: "subscription_details",
    },
    payment_settings: { default_mandate: null, payment_method_options: null, payment_method_types: null },
    payments: { object: "list", data: [], has_more: false, url: `/v1/invoice_payments?invoice=${id}` },
    period_end: created,
    period_start: Math.min(start, created),
    post_payment_credit_notes_amount: 0,
    pre_payment_credit_notes_amount: 0,
    receipt_number: null,
    rendering: null,
    shipping_cost: null,
    shipping_details: null,
    starting_balance: 0,
    statement_descriptor: null,
    status: "draft",
    status_transitions: { finalized_at: null, marked_uncollectible_at: null, paid_at: null, voided_at: null },
    subtotal: total,
    subtotal_excluding_tax: total,
    test_clock: null,
    total,
    total_discount_amounts: [],
    total_excluding_tax: total,
    total_pretax_credit_amounts: [],
    total_taxes: [],
    webhooks_delivered_at: created,
  };
}
