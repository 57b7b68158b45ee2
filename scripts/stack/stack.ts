import { Hono } from "hono";
import { cors } from "hono/cors";
import { proxy } from "hono/proxy";
import postgres from "postgres";
import { createApi } from "./api.ts";
import { startCron } from "./cron.ts";
import { type DatabaseOptions, startDatabase } from "./database.ts";
import { startFunctions } from "./functions.ts";
import { keepSecrets, startNet, wakeDelivery } from "./net.ts";
import { startServer } from "./server.ts";
import { DEFAULT_PORT, PUBLISHABLE_KEY, SECRET_KEY, SIGNING_JWK } from "./settings.ts";
import { startMailbox } from "./stand_ins/mailbox.ts";
import { startModel } from "./stand_ins/model.ts";
import { type SellablePrice, startStripe } from "./stand_ins/stripe/index.ts";
import { startWebhookSink } from "./stand_ins/webhook_sink.ts";

export interface StackOptions extends DatabaseOptions {
  /** The port of the API; 0 takes any free one. */
  port?: number;
}

/** What `npm run stack` prints. */
export interface StackInfo {
  url: string;
  publishableKey: string;
  secretKey: string;
  databaseUrl: string;
  mailboxUrl: string;
  webhookSinkUrl: string;
  modelUrl: string;
  stripeUrl: string;
  stripeWebhookSecret: string;
}

export interface Stack {
  info: StackInfo;
  stop(): Promise<void>;
}

/** Runs `step`, and keeps how to undo it. */
type Keep = <T extends { stop(): Promise<void> }>(step: Promise<T> | T) => Promise<T>;

/** Brings the whole local platform up, in the order in which each part needs the one before it. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { signal, log = () => {} } = options;
  const stops: (() => Promise<void>)[] = [];
  const keep: Keep = async (step) => {
    const started = await step;
    stops.push(started.stop);
    signal?.throwIfAborted();
    return started;
  };
  const stop = async () => {
    // The gateway, which was first, ends first as well: no request may come in while the rest is taken down.
    const [gateway, ...others] = stops.splice(0);
    for (const undo of [gateway, ...others.reverse()]) {
      const deadline = AbortSignal.timeout(5_000); // a query that hangs must not keep the platform up
      const late = new Promise<void>((resolve) => deadline.addEventListener("abort", () => resolve()));
      await Promise.race([undo?.().catch((error: unknown) => console.error("stop:", error)), late]);
    }
  };

  try {
    // The port first: when it is taken, that is known before anything else has started.
    let handle: (request: Request) => Response | Promise<Response> = () =>
      new Response("starting", { status: 503 });
    const gateway = await keep(startServer((request) => handle(request), options.port ?? DEFAULT_PORT));
    const mailbox = await keep(startMailbox());
    const webhookSink = await keep(startWebhookSink());
    const model = await keep(startModel());

    const { databaseUrl } = await keep(startDatabase(options));
    const api = await keep(createApi({ databaseUrl, siteUrl: gateway.url, smtpPort: mailbox.smtpPort }));
    const stripe = await keep(startStripe({ prices: await sellablePrices(databaseUrl) }));
    await keep(startCron(databaseUrl));
    await keep(startNet(databaseUrl));

    log("starting the edge functions (Deno)");
    const functions = await keep(
      startFunctions(
        {
          SUPABASE_URL: gateway.url,
          SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: PUBLISHABLE_KEY }),
          SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
          METERBASE_SIGNING_JWK: JSON.stringify(SIGNING_JWK),
          OPENAI_BASE_URL: process.env.OPENAI_BASE_URL || `${model.url}/v1`,
          OPENAI_API_KEY: process.env.OPENAI_API_KEY || "local",
          CHAT_MODELS: process.env.CHAT_MODELS || "*",
          STRIPE_SECRET_KEY: stripe.secretKey,
          STRIPE_WEBHOOK_SECRET: stripe.webhookSecret,
          STRIPE_API_URL: stripe.url,
          BILLING_REDIRECT_URLS: `${gateway.url},http://127.0.0.1:3000`,
          SITE_URL: process.env.SITE_URL || gateway.url,
          SMTP_URL:
            process.env.SMTP_URL || (process.env.EMAIL_API_KEY ? "" : `smtp://127.0.0.1:${mailbox.smtpPort}`),
          FROM_EMAIL: process.env.FROM_EMAIL || "Meterbase <team@meterbase.local>",
          PAGERDUTY_EVENTS_URL: process.env.PAGERDUTY_EVENTS_URL || `${webhookSink.url}/v2/enqueue`,
          // Webhooks may reach the receiver beside what the developer allows.
          WEBHOOK_ALLOWED_HOSTS: [new URL(webhookSink.url).host, process.env.WEBHOOK_ALLOWED_HOSTS].join(),
        },
        signal,
      ),
    );
    handle = gatewayRoutes(api.fetch, functions.url);
    const functionsUrl = `${gateway.url}/functions/v1`;
    stripe.deliverTo(`${functionsUrl}/stripe-webhook`);
    await keepSecrets(databaseUrl, {
      meterbase_functions_url: functionsUrl,
      meterbase_secret_key: SECRET_KEY,
    });
    await wakeDelivery(databaseUrl); // from then on the schedule does
    return {
      info: {
        url: gateway.url,
        publishableKey: PUBLISHABLE_KEY,
        secretKey: SECRET_KEY,
        databaseUrl,
        mailboxUrl: mailbox.url,
        webhookSinkUrl: webhookSink.url,
        modelUrl: model.url,
        stripeUrl: stripe.url,
        stripeWebhookSecret: stripe.webhookSecret,
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What the stand-in for Stripe has to sell: the prices that the database knows a Stripe price for. */
async function sellablePrices(databaseUrl: string): Promise<SellablePrice[]> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    return await sql<SellablePrice[]>`
      select stripe_price_id as id, product, unit_amount as "unitAmount", currency, "interval"
      from public.plan_prices where stripe_price_id is not null`;
  } finally {
    await sql.end();
  }
}

function gatewayRoutes(api: (request: Request) => Promise<Response>, functionsUrl: string) {
  const prefix = "/functions/v1";
  const app = new Hono();
  app.all(`${prefix}/*`, (c) => {
    const { pathname, search } = new URL(c.req.url);
    // Whatever is under way when a function is started anew, or everything stops, ends without an answer.
    return proxy(functionsUrl + pathname.slice(prefix.length) + search, c.req).catch(() =>
      c.json({ error: { code: "function_interrupted", message: "The function gave no answer." } }, 502),
    );
  });
  app.use("*", cors());
  app.all("/rest/v1/*", (c) => api(c.req.raw));
  app.all("/auth/v1/*", (c) => api(c.req.raw));
  app.get("/", (c) => c.json({ rest: "/rest/v1", auth: "/auth/v1", functions: prefix }));
  return app.fetch;
}
