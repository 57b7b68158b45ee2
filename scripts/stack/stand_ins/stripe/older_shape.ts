import type { Json, JsonObject } from "./changes.ts";

/**
 * A rendered object in the shape of API version 2024-06-20; other objects than subscriptions and invoices did not change
 * in what is used here. `find` gives the object with an id.
 */
export function olderShape(object: JsonObject, find: (id: string) => JsonObject | undefined): JsonObject {
  if (object.object === "subscription") return olderSubscription(object);
  if (object.object === "invoice") return olderInvoice(object, find);
  return object;
}

const hash = (value: Json | undefined): JsonObject =>
  value && typeof value === "object" && !Array.isArray(value) ? value : {};

const members = (list: Json | undefined): JsonObject[] => {
  const { data } = hash(list);
  return Array.isArray(data) ? data.map(hash) : [];
};

const without = (object: JsonObject, ...keys: string[]): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));

/** The period stood on the subscription, as did the plan and quantity of its only item. */
function olderSubscription(subscription: JsonObject): JsonObject {
  const items = members(subscription.items);
  const first = items[0] ?? {};
  return {
    ...without(subscription, "billing_mode", "billing_schedules", "managed_payments", "customer_account"),
    current_period_end: first.current_period_end ?? null,
    current_period_start: first.current_period_start ?? null,
    discount: null,
    items: {
      ...hash(subscription.items),
      data: items.map((item) => without(item, "current_period_end", "current_period_start", "current_trial")),
    },
    plan: first.plan ?? null,
    quantity: first.quantity ?? null,
  };
}

function olderInvoice(invoice: JsonObject, find: (id: string) => JsonObject | undefined): JsonObject {
  const details = hash(hash(invoice.parent).subscription_details);
  const { payment_intent: intent } = hash(members(invoice.payments).at(-1)?.payment);
  const charge = typeof intent === "string" ? find(intent)?.latest_charge : null;
  return {
    ...without(invoice, "parent", "payments", "confirmation_secret", "total_taxes", "customer_account"),
    charge: charge ?? null,
    discount: null,
    lines: { ...hash(invoice.lines), data: members(invoice.lines).map((line) => olderLine(line, find)) },
    paid: invoice.status === "paid",
    paid_out_of_band: false,
    payment_intent: intent ?? null,
    quote: null,
    subscription: details.subscription ?? null,
    subscription_details: { metadata: details.metadata ?? null },
    tax: null,
    total_tax_amounts: [],
  };
}

function olderLine(line: JsonObject, find: (id: string) => JsonObject | undefined): JsonObject {
  const details = hash(hash(line.parent).subscription_item_details);
  const { price } = hash(hash(line.pricing).price_details);
  const item = details.invoice_item ?? null;
  return {
    ...without(line, "parent", "pricing", "taxes", "subtotal", "quantity_decimal"),
    amount_excluding_tax: line.amount ?? null,
    ...(item !== null && { invoice_item: item }),
    price: typeof price === "string" ? (find(price) ?? null) : null,
    proration: details.proration ?? false,
    proration_details: details.proration_details ?? { credited_items: null },
    subscription: details.subscription ?? null,
    subscription_item: details.subscription_item ?? null,
    tax_amounts: [],
    tax_rates: [],
    type: item === null ? "subscription" : "invoiceitem",
  };
}
