import { Stripe } from "stripe";
import type { Interval } from "./periods.ts";

export interface SellablePrice {
  /** The Stripe price id. */
  id: string;
  /** The product's id when it begins with `prod_`, otherwise its name. */
  product: string;
  /** Cents. */
  unitAmount: number;
  currency: string;
  interval: Interval;
}

export function productOf(name: string, created: number): Stripe.Product {
  const slug = name.replace(/[^A-Za-z0-9]+/g, "_");
  return {
    id: name.startsWith("prod_") ? name : `prod_${slug}`,
    object: "product",
    active: true,
    created,
    default_price: null,
    description: null,
    images: [],
    livemode: false,
    marketing_features: [],
    metadata: {},
    name,
    package_dimensions: null,
    shippable: null,
    tax_code: null,
    tax_details: null,
    type: "service",
    updated: created,
    url: null,
  };
}

export function priceOf(sellable: SellablePrice, productId: string, created: number): Stripe.Price {
  return {
    id: sellable.id,
    object: "price",
    active: true,
    billing_scheme: "per_unit",
    created,
    currency: sellable.currency,
    custom_unit_amount: null,
    livemode: false,
    lookup_key: null,
    metadata: {},
    nickname: null,
    product: productId,
    recurring: {
      interval: sellable.interval,
      interval_count: 1,
      meter: null,
      trial_period_days: null,
      usage_type: "licensed",
    },
    tax_behavior: "unspecified",
    tiers_mode: null,
    transform_quantity: null,
    type: "recurring",
    unit_amount: sellable.unitAmount,
    unit_amount_decimal: Stripe.Decimal.from(sellable.unitAmount),
  };
}

/** The price in the shape of the older plans, which subscription items still carry. */
export function planOf(price: Stripe.Price): Stripe.Plan {
  return {
    id: price.id,
    object: "plan",
    active: price.active,
    amount: price.unit_amount,
    amount_decimal: price.unit_amount_decimal,
    billing_scheme: "per_unit",
    created: price.created,
    currency: price.currency,
    interval: intervalOf(price),
    interval_count: 1,
    livemode: false,
    metadata: price.metadata,
    meter: null,
    nickname: price.nickname,
    product: price.product,
    tiers_mode: null,
    transform_usage: null,
    trial_period_days: null,
    usage_type: "licensed",
  };
}

export const intervalOf = (price: Stripe.Price): Interval =>
  price.recurring?.interval === "year" ? "year" : "month";

/** Cents for `quantity` of the price. */
export const amountOf = (price: Stripe.Price, quantity = 1): number => (price.unit_amount ?? 0) * quantity;

/** As people read it: 29.00 USD a month. */
export const priceText = (price: Stripe.Price): string =>
  `${moneyText(amountOf(price), price.currency)} a ${intervalOf(price)}`;

export const moneyText = (cents: number, currency: string): string =>
  `${(cents / 100).toFixed(2)} ${currency.toUpperCase()}`;
