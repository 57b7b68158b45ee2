import assert from "node:assert/strict";
import { ChatEnv, ProjectEnv, readStripeEnv, StripeEnv } from "./env.ts";

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
