import type { Stripe } from "stripe";
import { priceOf, productOf, type SellablePrice } from "./catalog.ts";
import { type JsonObject, snapshot } from "./changes.ts";
import { Clock } from "./clock.ts";
import { type ApiShape, Events, type StoredEvent } from "./events.ts";
import { olderShape } from "./older_shape.ts";

export type Card = "works" | "declined";

/** What the stand-in knows of a subscription beside the object that it shows. */
export interface SubscriptionNotes {
  /** Proration lines that wait for the next invoice. */
  pendingLines: Stripe.InvoiceLineItem[];
  /** A change of price that applies when its invoice is paid. */
  pendingChange?: { invoice: string; apply: () => void };
  toldOfTrialEnd: boolean;
}

/** What a checkout began before it was complete. */
export interface CheckoutNotes {
  price: Stripe.Price;
  quantity: number;
  metadata: Stripe.Metadata;
  trialDays: number | undefined;
  trialEnd: number | undefined;
  trialSettings: Stripe.Subscription.TrialSettings | null;
  /** The incomplete subscription and customer that a declined card left. */
  attempted?: { customer: string; subscription: string };
}

export interface Dunning {
  failedAt: number;
  retries: number;
}

/** All that the stand-in holds, in memory. Maps keep the order in which things were made. */
export class State {
  /** Where the stand-in listens, for the pages that it names. */
  url = "";
  readonly clock: Clock;
  readonly events: Events;
  readonly customers = new Map<string, Stripe.Customer>();
  readonly deletedCustomers = new Set<string>();
  readonly cards = new Map<string, Card>();
  readonly products = new Map<string, Stripe.Product>();
  readonly prices = new Map<string, Stripe.Price>();
  readonly subscriptions = new Map<string, Stripe.Subscription>();
  readonly subscriptionNotes = new Map<string, SubscriptionNotes>();
  readonly invoices = new Map<string, Stripe.Invoice>();
  readonly dunning = new Map<string, Dunning>();
  readonly paymentIntents = new Map<string, Stripe.PaymentIntent>();
  readonly charges = new Map<string, Stripe.Charge>();
  readonly checkouts = new Map<string, Stripe.Checkout.Session>();
  readonly checkoutNotes = new Map<string, CheckoutNotes>();
  readonly portals = new Map<string, Stripe.BillingPortal.Session>();

  constructor(now: () => Date, prices: SellablePrice[], deliver: (event: StoredEvent) => void) {
    this.clock = new Clock(now);
    this.events = new Events({
      clock: this.clock,
      deliver,
      render: (object, shape) => this.render(object, shape),
    });
    const created = this.clock.now();
    for (const sellable of prices) {
      const product = productOf(sellable.product, created);
      this.products.set(product.id, this.products.get(product.id) ?? product);
      this.prices.set(sellable.id, priceOf(sellable, product.id, created));
    }
  }

  /** The object with this id, of any kind that can be expanded. */
  find(id: string): object | undefined {
    const maps: ReadonlyMap<string, object>[] = [
      this.customers,
      this.products,
      this.prices,
      this.subscriptions,
      this.invoices,
      this.paymentIntents,
      this.charges,
      this.checkouts,
    ];
    return maps.find((map) => map.has(id))?.get(id);
  }

  /** An object as an answer or event holds it: without what is given only when it is asked for by `expand`. */
  render(object: object, shape: ApiShape = "current"): JsonObject {
    const full = snapshot(object);
    if (shape !== "current") {
      return olderShape(full, (id) => {
        const found = this.find(id);
        return found && snapshot(found);
      });
    }
    for (const key of INCLUDED_ON_REQUEST[String(full.object)] ?? []) delete full[key];
    return full;
  }
}

export const INCLUDED_ON_REQUEST: Record<string, readonly string[]> = {
  invoice: ["payments", "confirmation_secret"],
  "checkout.session": ["line_items"],
};
