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

const ADDRESS = String.raw`[^@\s<>",;]{1,64}@[^@\s<>",;]{1,253}`;
const address = z.string().regex(new RegExp(`^${ADDRESS}$`));
/** As it stands in a mail: an address, or `Name <address>`. */
const sender = z.string().regex(new RegExp(String.raw`^(${ADDRESS}|[^<>\r\n]+<${ADDRESS}>)$`));
const smtpUrl = z.url({ protocol: /^smtps?$/ }).refine((url) => Boolean(URL.parse(url)?.hostname));
const allowedHost = z.string().regex(/^(\[[0-9a-f:.]+\]|[^\s/@:]+)(:\d+)?$/i);
/** A URL that the database takes for a channel's. */
const channelUrl = z
  .string()
  .regex(/^https?:\/\/[^\s/@]+(\/\S*)?$/)
  .max(2_000)
  .pipe(webUrl);
const MAX_RECIPIENTS = 20;

export interface EmailSettings {
  /** An SMTP server by its URL, or a provider's HTTP API. */
  via: { smtpUrl: string } | { apiUrl: string; apiKey: string };
  from: string;
  replyTo: string | null;
}

/** Where alerts and mails leave, for `deliver-alerts`. */
export interface AlertsSettings {
  /** Null where no mail can be sent: for want of a way, or of an address that mails are from. */
  email: EmailSettings | null;
  /** Where the links of mails lead, without a slash at its end; null where nobody has said. */
  siteUrl: string | null;
  pagerdutyUrl: string;
  /** Hosts, for local development, that webhooks may reach although they are not of the public internet. */
  allowedHosts: string[];
  /** The operator's own channels. */
  operator: {
    emails: string[];
    slack: { webhookUrl: string; channel: string | null } | null;
    webhooks: string[];
    pagerdutyKey: string | null;
  };
  /** Variables that say what cannot be, as a whole or in an entry; that is left out. Their values may be secrets. */
  faults: string[];
}

/** Never throws: a fault in what one thing is sent by must not keep back all else. */
export function readAlertsEnv(env: Record<string, string | undefined>): AlertsSettings {
  const faults = new Set<string>();
  const check = <T>(name: string, schema: z.ZodType<T>, value: unknown): T[] => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) faults.add(name);
    return parsed.success ? [parsed.data] : [];
  };
  const one = <T>(name: string, schema: z.ZodType<T>): T | null =>
    env[name] === undefined ? null : (check(name, schema, env[name])[0] ?? null);
  const many = (name: string, entry: z.ZodType<string>): string[] =>
    list.parse(env[name] ?? "").flatMap((item) => check(name, entry, item));

  const from = one("FROM_EMAIL", sender);
  const replyTo = one("REPLY_TO_EMAIL", sender);
  const smtp = one("SMTP_URL", smtpUrl);
  const apiUrl = one("EMAIL_API_URL", webUrl) ?? "https://api.resend.com/emails";
  // A way that is wrong is not made up for by another, which nobody may have meant.
  const isClear = !faults.has("SMTP_URL") && (smtp !== null || !faults.has("EMAIL_API_URL"));
  const apiKey = env.EMAIL_API_KEY;
  const via = smtp !== null ? { smtpUrl: smtp } : apiKey ? { apiUrl, apiKey } : null;

  const emails = many("ALERT_EMAIL", address);
  if (emails.length > MAX_RECIPIENTS) faults.add("ALERT_EMAIL");
  const slackUrl = one("SLACK_WEBHOOK_URL", channelUrl);
  const slackChannel = one("SLACK_CHANNEL", z.string().max(100));
  return {
    email: from !== null && isClear && via ? { via, from, replyTo } : null,
    siteUrl: one("SITE_URL", webUrl)?.replace(/\/+$/, "") ?? null,
    pagerdutyUrl: one("PAGERDUTY_EVENTS_URL", webUrl) ?? "https://events.pagerduty.com/v2/enqueue",
    allowedHosts: many("WEBHOOK_ALLOWED_HOSTS", allowedHost),
    operator: {
      emails: one("ENABLE_EMAIL_ALERTS", z.stringbool()) ? emails.slice(0, MAX_RECIPIENTS) : [],
      slack:
        slackUrl !== null && one("ENABLE_SLACK_ALERTS", z.stringbool()) !== false
          ? { webhookUrl: slackUrl, channel: slackChannel }
          : null,
      webhooks: many("CUSTOM_WEBHOOKS", channelUrl),
      pagerdutyKey: one("PAGERDUTY_SERVICE_KEY", z.string().regex(/^[A-Za-z0-9_-]{8,100}$/)),
    },
    faults: [...faults],
  };
}
