import process from "node:process";
import { z } from "zod";

const keys = z
  .string()
  .transform((text) => JSON.parse(text) as unknown)
  .pipe(z.object({ default: z.string() }));

const jwk = z
  .string()
  .transform((text) => JSON.parse(text) as unknown)
  .pipe(
    z.discriminatedUnion("kty", [
      z.looseObject({ kty: z.literal("oct"), k: z.base64url().min(43) }),
      z.looseObject({
        kty: z.literal("EC"),
        crv: z.literal("P-256"),
        x: z.base64url(),
        y: z.base64url(),
        d: z.base64url(),
        kid: z.string(),
      }),
    ]),
  );

/**
 * How a function reaches its project: what the hosted edge runtime sets for every function, and the key that tokens for API
 * keys are signed with.
 */
export const ProjectEnv = z
  .object({
    SUPABASE_URL: z.url(),
    SUPABASE_PUBLISHABLE_KEYS: keys,
    SUPABASE_SECRET_KEYS: keys,
    METERBASE_SIGNING_JWK: jwk.optional(),
  })
  .transform((env) => ({
    url: env.SUPABASE_URL,
    publishableKey: env.SUPABASE_PUBLISHABLE_KEYS.default,
    secretKey: env.SUPABASE_SECRET_KEYS.default,
    /** Null: the project has no API keys. */
    signingJwk: env.METERBASE_SIGNING_JWK ?? null,
  }));
export type Project = z.infer<typeof ProjectEnv>;

/** The environment, in which what is empty is not set. */
export const readEnv = () =>
  Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ""));

/** The model behind `chat`. */
export const ChatEnv = z
  .object({
    OPENAI_BASE_URL: z.url().default("https://api.openai.com/v1"),
    OPENAI_API_KEY: z.string().min(1),
    CHAT_MODEL: z.string().min(1).default("gpt-4o-mini"),
    CHAT_MODELS: z.string().optional(),
    CHAT_ESTIMATED_TOKENS: z.coerce.number().int().positive().default(150),
  })
  .transform((env) => ({
    baseUrl: env.OPENAI_BASE_URL,
    apiKey: env.OPENAI_API_KEY,
    model: env.CHAT_MODEL,
    /** Models that a request may name; `*` is any. */
    models: [env.CHAT_MODEL, ...(env.CHAT_MODELS ?? "").split(",").map((name) => name.trim())].filter(
      Boolean,
    ),
    estimatedTokens: env.CHAT_ESTIMATED_TOKENS,
  }));

const list = z.string().transform((text) =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean),
);
const webUrl = z.url({ protocol: /^https?$/ });
const PRICE = /^STRIPE_PRICE_([A-Z0-9_]+)$/;

/** Stripe, through which `billing` sells and whose events `stripe-webhook` takes. */
export const StripeEnv = z
  .looseObject({
    STRIPE_SECRET_KEY: z.string().min(1),
    STRIPE_WEBHOOK_SECRET: list.pipe(z.array(z.string().regex(/^whsec_\S+$/))).default([]),
    STRIPE_API_URL: webUrl
      .refine((url) => new URL(url).pathname === "/", "has a path")
      .default("https://api.stripe.com"),
    BILLING_REDIRECT_URLS: list.pipe(z.array(webUrl)).default([]),
  })
  .transform((env) => {
    const { protocol, hostname, port } = new URL(env.STRIPE_API_URL);
    const isSecure = protocol === "https:";
    return {
      secretKey: env.STRIPE_SECRET_KEY,
      /** Any of them may have signed an event: there are two while one takes the other's place. */
      webhookSecrets: env.STRIPE_WEBHOOK_SECRET,
      api: {
        protocol: isSecure ? ("https" as const) : ("http" as const),
        host: hostname,
        port: port || (isSecure ? "443" : "80"),
      },
      /** Where customers may be sent to from Stripe's pages; the first is where they go unless told otherwise. */
      redirectUrls: env.BILLING_REDIRECT_URLS,
      /** Stripe's prices by price id, such as `startup_monthly`. */
      prices: Object.fromEntries(
        Object.entries(env).flatMap(([name, value]) => {
          const priceId = PRICE.exec(name)?.[1]?.toLowerCase();
          return priceId && typeof value === "string" ? [[priceId, value.trim()]] : [];
        }),
      ),
    };
  });
export type StripeSettings = z.infer<typeof StripeEnv>;

/** Null where there is no key of Stripe: nothing is for sale then. */
export const readStripeEnv = (env: Record<string, string | undefined>): StripeSettings | null =>
  env.STRIPE_SECRET_KEY === undefined ? null : StripeEnv.parse(env);

const flag = z.stringbool().optional();
const allowedHost = z.string().regex(/^(\[[0-9a-f:.]+\]|[^\s/@:]+)(:\d+)?$/i, "is no host or host:port");

/** Where alerts and mails leave, for `deliver-alerts`. */
export const AlertsEnv = z
  .object({
    SMTP_URL: z.url({ protocol: /^smtps?$/ }).optional(),
    EMAIL_API_KEY: z.string().optional(),
    EMAIL_API_URL: webUrl.default("https://api.resend.com/emails"),
    FROM_EMAIL: z.string().optional(),
    REPLY_TO_EMAIL: z.string().optional(),
    SITE_URL: webUrl.optional(),
    PAGERDUTY_EVENTS_URL: webUrl.default("https://events.pagerduty.com/v2/enqueue"),
    WEBHOOK_ALLOWED_HOSTS: list.pipe(z.array(allowedHost)).default([]),
    ENABLE_EMAIL_ALERTS: flag,
    ALERT_EMAIL: list.pipe(z.array(z.email())).default([]),
    ENABLE_SLACK_ALERTS: flag,
    SLACK_WEBHOOK_URL: webUrl.optional(),
    SLACK_CHANNEL: z.string().optional(),
    CUSTOM_WEBHOOKS: list.pipe(z.array(webUrl)).default([]),
    PAGERDUTY_SERVICE_KEY: z.string().optional(),
  })
  .transform((env) => ({
    email: emailSettings(env),
    /** Where the links of mails lead, without a slash at its end; null where nobody has said. */
    siteUrl: env.SITE_URL?.replace(/\/+$/, "") ?? null,
    pagerdutyUrl: env.PAGERDUTY_EVENTS_URL,
    /** Hosts, for local development, that webhooks may reach although they are not of the public internet. */
    allowedHosts: env.WEBHOOK_ALLOWED_HOSTS,
    /** The operator's own channels. */
    operator: {
      emails: env.ENABLE_EMAIL_ALERTS ? env.ALERT_EMAIL : [],
      slack:
        env.SLACK_WEBHOOK_URL && env.ENABLE_SLACK_ALERTS !== false
          ? { webhookUrl: env.SLACK_WEBHOOK_URL, channel: env.SLACK_CHANNEL ?? null }
          : null,
      webhooks: env.CUSTOM_WEBHOOKS,
      pagerdutyKey: env.PAGERDUTY_SERVICE_KEY ?? null,
    },
  }));
export type AlertsSettings = z.infer<typeof AlertsEnv>;

export interface EmailSettings {
  /** An SMTP server by its URL, or a provider's HTTP API. */
  via: { smtpUrl: string } | { apiUrl: string; apiKey: string };
  from: string;
  replyTo: string | null;
}

/** Null where no mail can be sent: for want of a way, or of an address that mails are from. */
function emailSettings(env: {
  SMTP_URL?: string | undefined;
  EMAIL_API_KEY?: string | undefined;
  EMAIL_API_URL: string;
  FROM_EMAIL?: string | undefined;
  REPLY_TO_EMAIL?: string | undefined;
}): EmailSettings | null {
  if (!env.FROM_EMAIL) return null;
  const common = { from: env.FROM_EMAIL, replyTo: env.REPLY_TO_EMAIL ?? null };
  if (env.SMTP_URL) return { via: { smtpUrl: env.SMTP_URL }, ...common };
  if (!env.EMAIL_API_KEY) return null;
  return { via: { apiUrl: env.EMAIL_API_URL, apiKey: env.EMAIL_API_KEY }, ...common };
}
