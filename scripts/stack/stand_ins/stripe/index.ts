import { Hono } from "hono";
import { type Server, startServer } from "../../server.ts";
import { createApi } from "./api.ts";
import type { SellablePrice } from "./catalog.ts";
import { createCheckoutPage } from "./checkout_page.ts";
import { advanceClock, createControl } from "./control.ts";
import { Deliveries } from "./delivery.ts";
import { newId } from "./ids.ts";
import { createPortalPage } from "./portal_page.ts";
import { State } from "./state.ts";
import { Traffic } from "./traffic.ts";

export type { SellablePrice } from "./catalog.ts";
export type { Delivery } from "./delivery.ts";

export interface StripeStandIn extends Server {
  secretKey: string;
  /** With what webhooks are signed. */
  webhookSecret: string;
  /** Where events go; those that came before wait for it. */
  deliverTo(url: string): void;
  /** Resolves when no event waits to be sent any more. */
  settled(): Promise<void>;
  /** Moves the stand-in's clock; what is due until then happens, in order. */
  advance(seconds: number): void;
}

export interface StripeStandInOptions {
  prices: SellablePrice[];
  webhookUrl?: string;
  webhookSecret?: string;
  secretKey?: string;
  /** 0, any free one, unless it is given. */
  port?: number;
  now?: () => Date;
}

/**
 * Stripe's API, its hosted pages and its webhooks, in memory on a loopback port. The official library talks to it with
 * `{ protocol: "http", host: "127.0.0.1", port }`. Its own endpoints are below `/_stand_in/`.
 */
export async function startStripe(options: StripeStandInOptions): Promise<StripeStandIn> {
  const secretKey = options.secretKey ?? newId("sk_test");
  const webhookSecret = options.webhookSecret ?? newId("whsec");
  const deliveries = new Deliveries(webhookSecret);
  const state = new State(options.now ?? (() => new Date()), options.prices, (event) =>
    deliveries.add(event),
  );
  const traffic = new Traffic();

  const app = new Hono();
  app.route("/", createApi(state, secretKey, traffic));
  app.route("/", createControl(state, deliveries, traffic));
  app.route("/", createCheckoutPage(state));
  app.route("/", createPortalPage(state));

  const server = await startServer(app.fetch, options.port);
  state.url = server.url;
  if (options.webhookUrl !== undefined) deliveries.deliverTo(options.webhookUrl);
  return {
    ...server,
    advance: (seconds) => advanceClock(state, seconds),
    deliverTo: (url) => deliveries.deliverTo(url),
    secretKey,
    settled: () => deliveries.settled(),
    stop: async () => {
      deliveries.stop();
      await server.stop();
    },
    webhookSecret,
  };
}
