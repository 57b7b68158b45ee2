import assert from "node:assert/strict";
import { ChatEnv, ProjectEnv } from "./env.ts";

const keys = JSON.stringify({ default: "sb_publishable_x" });

Deno.test("ProjectEnv takes the default publishable key out of its JSON", () => {
  const env = { SUPABASE_URL: "http://127.0.0.1:54321", SUPABASE_PUBLISHABLE_KEYS: keys };
  assert.deepEqual(ProjectEnv.parse(env), {
    url: "http://127.0.0.1:54321",
    publishableKey: "sb_publishable_x",
  });
});

for (const [problem, env] of Object.entries({
  "no URL": { SUPABASE_PUBLISHABLE_KEYS: keys },
  "a URL that is none": { SUPABASE_URL: "nowhere", SUPABASE_PUBLISHABLE_KEYS: keys },
  "keys that are not JSON": { SUPABASE_URL: "http://x.test", SUPABASE_PUBLISHABLE_KEYS: "sb_publishable_x" },
  "keys without a default": { SUPABASE_URL: "http://x.test", SUPABASE_PUBLISHABLE_KEYS: "{}" },
})) {
  Deno.test(`ProjectEnv refuses ${problem}`, () => {
    assert.throws(() => ProjectEnv.parse(env));
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
