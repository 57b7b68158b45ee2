import assert from "node:assert/strict";
import { ChatEnv, ProjectEnv, readAlertsEnv, readStripeEnv, StripeEnv } from "./env.ts";

const project = {
  SUPABASE_URL: "http://127.0.0.1:54321",
  SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: "sb_publishable_x" }),
  SUPABASE_SECRET_KEYS: JSON.stringify({ default: "sb_secret_x" }),
};

Deno.test("ProjectEnv takes the default keys out of their JSON", () => {
  assert.deepEqual(ProjectEnv.parse(project), {
    url: "http://127.0.0.1:54321",
    publishableKey: "sb_publishable_x",
    secretKey: "sb_secret_x",
    signingJwk: null,
  });
});

Deno.test("ProjectEnv reads the signing key", () => {
  const jwk = { kty: "oct", k: "a".repeat(43), alg: "HS256" };
  const { signingJwk } = ProjectEnv.parse({ ...project, METERBASE_SIGNING_JWK: JSON.stringify(jwk) });
  assert.deepEqual(signingJwk, jwk);
});

for (const [problem, env] of Object.entries({
  "no URL": { SUPABASE_URL: undefined },
  "a URL that is none": { SUPABASE_URL: "nowhere" },
  "keys that are not JSON": { SUPABASE_PUBLISHABLE_KEYS: "sb_publishable_x" },
  "keys without a default": { SUPABASE_PUBLISHABLE_KEYS: "{}" },
  "no secret key": { SUPABASE_SECRET_KEYS: undefined },
  "a signing key of another kind": { METERBASE_SIGNING_JWK: JSON.stringify({ kty: "RSA" }) },
  "a signing key that is too short": { METERBASE_SIGNING_JWK: JSON.stringify({ kty: "oct", k: "c2VjcmV0" }) },
  "a public key": {
    METERBASE_SIGNING_JWK: JSON.stringify({ kty: "EC", crv: "P-256", x: "eA", y: "eQ", kid: "k" }),
  },
})) {
  Deno.test(`ProjectEnv refuses ${problem}`, () => {
    assert.throws(() => ProjectEnv.parse({ ...project, ...env }));
  });
}

Deno.test("ChatEnv needs nothing but a key", () => {
  assert.deepEqual(ChatEnv.parse({ OPENAI_API_KEY: "sk-x" }), {
    baseUrl: "https://api.openai.com/v1",
    apiKey: "sk-x",
    model: "gpt-4o-mini",
    models: ["gpt-4o-mini"],
    estimatedTokens: 150,
  });
});

Deno.test("ChatEnv reads the list of models and the estimate", () => {
  const env = { OPENAI_API_KEY: "sk-x", CHAT_MODELS: "small, large", CHAT_ESTIMATED_TOKENS: "900" };
  const { models, estimatedTokens } = ChatEnv.parse(env);
  assert.deepEqual([models, estimatedTokens], [["gpt-4o-mini", "small", "large"], 900]);
});

Deno.test("ChatEnv takes an empty list of models for none: the default model stays offered", () => {
  const env = { OPENAI_API_KEY: "sk-x", CHAT_MODEL: "small", CHAT_MODELS: "" };
  assert.deepEqual(ChatEnv.parse(env).models, ["small"]);
});

for (const [problem, env] of Object.entries({
  "no key": {},
  "an empty key": { OPENAI_API_KEY: "" },
  "a base URL that is none": { OPENAI_API_KEY: "sk-x", OPENAI_BASE_URL: "nowhere" },
  "an estimate of nothing": { OPENAI_API_KEY: "sk-x", CHAT_ESTIMATED_TOKENS: "0" },
  "an estimate that is no number": { OPENAI_API_KEY: "sk-x", CHAT_ESTIMATED_TOKENS: "many" },
})) {
  Deno.test(`ChatEnv refuses ${problem}`, () => {
    assert.throws(() => ChatEnv.parse(env));
  });
}

Deno.test("StripeEnv needs nothing but a key; without one nothing is for sale", () => {
  assert.deepEqual(readStripeEnv({ STRIPE_SECRET_KEY: "sk_test_x" }), {
    secretKey: "sk_test_x",
    webhookSecrets: [],
    api: { protocol: "https", host: "api.stripe.com", port: "443" },
    redirectUrls: [],
    prices: {},
  });
  assert.equal(readStripeEnv({ STRIPE_WEBHOOK_SECRET: "not looked at" }), null);
});

Deno.test("StripeEnv reads lists, where Stripe is, and what sells what", () => {
  const env = {
    STRIPE_SECRET_KEY: "sk_test_x",
    STRIPE_WEBHOOK_SECRET: "whsec_old, whsec_new,",
    STRIPE_API_URL: "http://127.0.0.1:12111",
    BILLING_REDIRECT_URLS: "https://app.test/billing,http://localhost:3000",
    STRIPE_PRICE_STARTUP_MONTHLY: "price_1",
    STRIPE_PRICE_PRO_2: "price_2",
    OTHER_STRIPE_PRICE_X: "price_3",
  };
  assert.deepEqual(StripeEnv.parse(env), {
    secretKey: "sk_test_x",
    webhookSecrets: ["whsec_old", "whsec_new"],
    api: { protocol: "http", host: "127.0.0.1", port: "12111" },
    redirectUrls: ["https://app.test/billing", "http://localhost:3000"],
    prices: { startup_monthly: "price_1", pro_2: "price_2" },
  });
});

Deno.test("StripeEnv knows the ports of http and https", () => {
  const portOf = (STRIPE_API_URL: string) =>
    StripeEnv.parse({ STRIPE_SECRET_KEY: "sk_test_x", STRIPE_API_URL }).api.port;
  assert.deepEqual([portOf("http://stripe.test"), portOf("https://stripe.test/")], ["80", "443"]);
});

for (const [problem, env] of Object.entries({
  "an empty key": { STRIPE_SECRET_KEY: "" },
  "a webhook secret of another kind": { STRIPE_WEBHOOK_SECRET: "sk_test_x" },
  "one of several webhook secrets that is none": { STRIPE_WEBHOOK_SECRET: "whsec_x,whsec_" },
  "an API that is no URL": { STRIPE_API_URL: "stripe" },
  "an API of another protocol": { STRIPE_API_URL: "ftp://stripe.test" },
  "an API below a path": { STRIPE_API_URL: "https://stripe.test/v1" },
  "a redirect that is no URL": { BILLING_REDIRECT_URLS: "/billing" },
  "a redirect of another protocol": { BILLING_REDIRECT_URLS: "javascript:alert(1)" },
})) {
  Deno.test(`StripeEnv refuses ${problem}`, () => {
    assert.throws(() => StripeEnv.parse({ STRIPE_SECRET_KEY: "sk_test_x", ...env }));
  });
}

Deno.test("readAlertsEnv needs nothing: then there are no mails and no channels of the operator", () => {
  assert.deepEqual(readAlertsEnv({}), {
    email: null,
    siteUrl: null,
    pagerdutyUrl: "https://events.pagerduty.com/v2/enqueue",
    allowedHosts: [],
    operator: { emails: [], slack: null, webhooks: [], pagerdutyKey: null },
    faults: [],
  });
});

Deno.test("readAlertsEnv reads what there is", () => {
  const env = {
    SMTP_URL: "smtp://127.0.0.1:2525",
    FROM_EMAIL: "Meterbase <team@example.com>",
    REPLY_TO_EMAIL: "help@example.com",
    SITE_URL: "https://app.test/",
    PAGERDUTY_EVENTS_URL: "http://127.0.0.1:9/v2/enqueue",
    WEBHOOK_ALLOWED_HOSTS: "127.0.0.1:9, hooks.test,[::1]:8080",
    ENABLE_EMAIL_ALERTS: "true",
    ALERT_EMAIL: "a@example.com, b@example.com",
    SLACK_WEBHOOK_URL: "https://hooks.slack.com/services/x",
    SLACK_CHANNEL: "#billing-alerts",
    CUSTOM_WEBHOOKS: "https://one.test/hook,https://two.test/hook",
    PAGERDUTY_SERVICE_KEY: "0123456789abcdef",
  };
  assert.deepEqual(readAlertsEnv(env), {
    email: {
      via: { smtpUrl: "smtp://127.0.0.1:2525" },
      from: "Meterbase <team@example.com>",
      replyTo: "help@example.com",
    },
    siteUrl: "https://app.test",
    pagerdutyUrl: "http://127.0.0.1:9/v2/enqueue",
    allowedHosts: ["127.0.0.1:9", "hooks.test", "[::1]:8080"],
    operator: {
      emails: ["a@example.com", "b@example.com"],
      slack: { webhookUrl: "https://hooks.slack.com/services/x", channel: "#billing-alerts" },
      webhooks: ["https://one.test/hook", "https://two.test/hook"],
      pagerdutyKey: "0123456789abcdef",
    },
    faults: [],
  });
});

Deno.test("readAlertsEnv sends mails by SMTP, else by a provider's API, and from somebody", () => {
  const of = (env: Record<string, string>) => readAlertsEnv(env).email?.via;
  const from = { FROM_EMAIL: "a@example.com" };
  assert.deepEqual(of({ ...from, EMAIL_API_KEY: "k" }), {
    apiUrl: "https://api.resend.com/emails",
    apiKey: "k",
  });
  assert.deepEqual(of({ ...from, EMAIL_API_KEY: "k", SMTP_URL: "smtps://m.test" }), {
    smtpUrl: "smtps://m.test",
  });
  assert.equal(of({ EMAIL_API_KEY: "k", SMTP_URL: "smtps://m.test" }), undefined);
  assert.equal(of(from), undefined);
});

Deno.test("readAlertsEnv turns e-mail on, and Slack off", () => {
  const of = (env: Record<string, string>) => readAlertsEnv(env).operator;
  const slack = { SLACK_WEBHOOK_URL: "https://hooks.slack.com/services/x" };
  assert.equal(of({ ...slack, ENABLE_SLACK_ALERTS: "false" }).slack, null);
  assert.notEqual(of({ ...slack, ENABLE_SLACK_ALERTS: "true" }).slack, null);
  assert.equal(of({ ENABLE_SLACK_ALERTS: "true" }).slack, null);
  assert.deepEqual(of({ ALERT_EMAIL: "a@example.com" }).emails, []);
});

const GOOD = {
  SMTP_URL: "smtp://m.test",
  FROM_EMAIL: "a@example.com",
  REPLY_TO_EMAIL: "b@example.com",
  SITE_URL: "https://app.test",
  WEBHOOK_ALLOWED_HOSTS: "127.0.0.1:9",
  ENABLE_EMAIL_ALERTS: "true",
  ALERT_EMAIL: "c@example.com",
  SLACK_WEBHOOK_URL: "https://hooks.slack.com/services/x",
  CUSTOM_WEBHOOKS: "https://one.test/hook",
  PAGERDUTY_SERVICE_KEY: "0123456789abcdef",
};
const settings = readAlertsEnv(GOOD);
const { operator } = settings;

for (const [variable, value, changes] of [
  ["ALERT_EMAIL", "c@example.com,secret", {}],
  ["ALERT_EMAIL", "secret", { operator: { ...operator, emails: [] } }],
  ["ALERT_EMAIL", "c@example.com,<secret@example.com>", {}],
  ["CUSTOM_WEBHOOKS", "secret, https://one.test/hook", {}],
  ["CUSTOM_WEBHOOKS", "https://one.test/hook,https://secret@two.test/", {}],
  ["CUSTOM_WEBHOOKS", `https://one.test/hook,https://two.test/${"secret".repeat(400)}`, {}],
  ["CUSTOM_WEBHOOKS", "ftp://secret.test/", { operator: { ...operator, webhooks: [] } }],
  ["SLACK_WEBHOOK_URL", "hooks.slack.com/services/secret", { operator: { ...operator, slack: null } }],
  ["SLACK_CHANNEL", "#secret".repeat(20), {}],
  ["WEBHOOK_ALLOWED_HOSTS", "127.0.0.1:9,http://secret.test", {}],
  ["WEBHOOK_ALLOWED_HOSTS", "secret.test/x", { allowedHosts: [] }],
  ["PAGERDUTY_SERVICE_KEY", "secret!", { operator: { ...operator, pagerdutyKey: null } }],
  ["PAGERDUTY_EVENTS_URL", "secret", {}],
  ["ENABLE_EMAIL_ALERTS", "secret", { operator: { ...operator, emails: [] } }],
  ["ENABLE_SLACK_ALERTS", "secret", {}],
  ["SITE_URL", "secret.test", { siteUrl: null }],
  ["REPLY_TO_EMAIL", "secret", { email: { ...settings.email, replyTo: null } }],
  ["FROM_EMAIL", "secret", { email: null }],
  ["FROM_EMAIL", "a@example.com\r\nBcc: secret@example.com", { email: null }],
  ["SMTP_URL", "http://secret.test", { email: null }],
  ["SMTP_URL", "smtp:secret", { email: null }],
] as const) {
  Deno.test(`readAlertsEnv leaves out what is wrong, and nothing else: ${variable}=${value.slice(0, 60)}`, () => {
    const { faults, ...read } = readAlertsEnv({ ...GOOD, [variable]: value });
    const { faults: _, ...rest } = settings;
    assert.deepEqual([read, faults], [{ ...rest, ...changes }, [variable]]);
  });
}

Deno.test("readAlertsEnv sends no mail another way than the one that is wrong", () => {
  const from = { FROM_EMAIL: "a@example.com", EMAIL_API_KEY: "k" };
  assert.equal(readAlertsEnv({ ...from, SMTP_URL: "m.test" }).email, null);
  assert.equal(readAlertsEnv({ ...from, EMAIL_API_URL: "m.test" }).email, null);
  const byServer = readAlertsEnv({ ...from, EMAIL_API_URL: "m.test", SMTP_URL: "smtp://m.test" });
  assert.deepEqual(byServer.email?.via, { smtpUrl: "smtp://m.test" });
});

Deno.test("readAlertsEnv keeps as many of the operator's addresses as a channel has", () => {
  const addresses = Array.from({ length: 21 }, (_, i) => `${i}@example.com`);
  const { operator, faults } = readAlertsEnv({ ENABLE_EMAIL_ALERTS: "true", ALERT_EMAIL: addresses.join() });
  assert.deepEqual([operator.emails, faults], [addresses.slice(0, 20), ["ALERT_EMAIL"]]);
});
