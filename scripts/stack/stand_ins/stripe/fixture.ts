import { Stripe } from "stripe";
import { startServer } from "../../server.ts";
import { type StripeStandIn, type StripeStandInOptions, startStripe } from "./index.ts";

export const PRICES = [
  { currency: "usd", id: "price_startup", interval: "month", product: "Startup", unitAmount: 3_000 },
  { currency: "usd", id: "price_pro", interval: "month", product: "Pro", unitAmount: 9_000 },
  { currency: "usd", id: "price_pro_year", interval: "year", product: "Pro", unitAmount: 90_000 },
] as const;

/** 1 June 2026, 12:00 UTC: a month of 30 days lies before it. */
export const BEGIN = Date.UTC(2026, 5, 1, 12) / 1000;
export const DAY = 86_400;

export interface Fixture extends AsyncDisposable {
  standIn: StripeStandIn;
  stripe: Stripe;
  /** A control endpoint's answer. */
  control<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
  /** Events, oldest first. */
  events(...types: string[]): Promise<Stripe.Event[]>;
  /** Posts a form of a page; where it redirects to, or the page. */
  submit(url: string, fields: Record<string, string>): Promise<{ location: string | null; text: string }>;
  /** A customer, whose card works unless it is declined. */
  customer(card?: "works" | "declined"): Promise<Stripe.Customer>;
  subscribe(
    customer: string,
    price?: string,
    more?: Stripe.SubscriptionCreateParams,
  ): Promise<Stripe.Subscription>;
}

/** A stand-in whose own clock begins at `BEGIN` and moves only when it is advanced. */
export async function startFixture(options: Partial<StripeStandInOptions> = {}): Promise<Fixture> {
  const standIn = await startStripe({
    now: () => new Date(BEGIN * 1000),
    prices: [...PRICES],
    ...options,
  });
  const stripe = new Stripe(standIn.secretKey, {
    host: "127.0.0.1",
    httpClient: Stripe.createFetchHttpClient(),
    maxNetworkRetries: 0,
    port: standIn.port,
    protocol: "http",
    telemetry: false,
  });

  async function control<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${standIn.url}/_stand_in/${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return JSON.parse(text === "" ? "null" : text);
  }

  return {
    [Symbol.asyncDispose]: () => standIn.stop(),
    control,
    customer: (card = "works") =>
      stripe.customers.create({
        email: "ada@example.com",
        invoice_settings: {
          default_payment_method: card === "works" ? "pm_card_visa" : "pm_card_visa_chargeDeclined",
        },
      }),
    events: async (...types) => {
      const params = types.length > 0 ? { types } : {};
      const all = await stripe.events.list({ limit: 100, ...params }).autoPagingToArray({ limit: 1_000 });
      return all.reverse();
    },
    standIn,
    stripe,
    submit: async (url, fields) => {
      const response = await fetch(url, {
        body: new URLSearchParams(fields),
        method: "POST",
        redirect: "manual",
      });
      return { location: response.headers.get("location"), text: await response.text() };
    },
    subscribe: (customer, price = "price_startup", more = {}) =>
      stripe.subscriptions.create({ customer, items: [{ price }], ...more }),
  };
}

export interface Received {
  body: string;
  signature: string;
  event: Stripe.Event;
}

/** A webhook that answers with what `answer` says, 200 without it, and remembers what came. */
export async function startReceiver(answer: (received: Received) => number = () => 200) {
  const received: Received[] = [];
  const server = await startServer(async (request) => {
    const body = await request.text();
    const signature = request.headers.get("stripe-signature") ?? "";
    const one: Received = { body, event: JSON.parse(body), signature };
    received.push(one);
    return new Response("", { status: answer(one) });
  });
  return {
    ...server,
    [Symbol.asyncDispose]: () => server.stop(),
    ids: () => received.map(({ event }) => event.id),
    received,
  };
}

/** The subscription's only item, in which its period stands. */
export function itemOf(subscription: Stripe.Subscription): Stripe.SubscriptionItem {
  const [item] = subscription.items.data;
  if (!item) throw new Error("The subscription has no item.");
  return item;
}
