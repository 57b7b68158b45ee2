import assert from "node:assert/strict";
import { ChatEnv, ProjectEnv } from "./env.ts";

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
