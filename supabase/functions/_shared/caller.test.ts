import assert from "node:assert/strict";
import { createIdentify } from "./caller.ts";
import type { DataApi } from "./database.ts";
import { ApiError } from "./http.ts";
import { noWrites } from "./testing.ts";

const SECRET = ["sk_live_", "hVpBPk6uY7rqgbQB5c0DJGMbuYAUo30p8JeS"].join("");
const KEY = { api_key_id: "key-1", tenant_id: "tenant-1", role: "editor" };

/** A project where SECRET is a key, and what it was asked. */
function project({ known = [KEY] as unknown[], canSign = true } = {}) {
  const asked: unknown[] = [];
  const tokens: string[] = [];
  let signed = 0;
  const identify = createIdentify({
    connectAs: (token): DataApi => ({
      rpc: async () => void tokens.push(await token()),
      rows: async () => void tokens.push(await token()),
      ...noWrites,
    }),
    serviceRpc: (name, args) => {
      asked.push([name, args]);
      return Promise.resolve(known);
    },
    sign: canSign ? (id) => Promise.resolve(`token ${++signed} for ${id}`) : null,
  });
  return { identify, asked, tokens };
}

const bearing = (credential: string) =>
  new Request("http://local.test", { headers: { authorization: `Bearer ${credential}` } });

const refused = (promise: Promise<unknown>, status: number, code: string) =>
  assert.rejects(
    promise,
    (error) => error instanceof ApiError && error.status === status && error.code === code,
  );

Deno.test("a user's token is passed on as it is, and nobody is asked whose it is", async () => {
  const { identify, asked, tokens } = project();
  const caller = await identify(bearing("user-token"));
  await caller.rpc("f", {});
  assert.deepEqual([caller.tenantId, tokens, asked], [null, ["user-token"], []]);
});

Deno.test("an API key is known by its hash, and each call has a token of its own", async () => {
  const { identify, asked, tokens } = project();
  const caller = await identify(bearing(SECRET));
  await caller.rpc("f", {});
  await caller.rows("t", {}, "id");
  assert.equal(caller.tenantId, "tenant-1");
  assert.deepEqual(tokens, ["token 1 for key-1", "token 2 for key-1"]);
  const [[name, args]] = asked as [[string, { secret_hash: string }]];
  assert.equal(name, "authenticate_api_key");
  assert.match(args.secret_hash, /^[0-9a-f]{64}$/);
  assert.equal(JSON.stringify(asked).includes(SECRET), false);
});

Deno.test("a key that the database does not know, or not any more, is a 401", async () => {
  await refused(project({ known: [] }).identify(bearing(SECRET)), 401, "invalid_api_key");
});

Deno.test("no credential is a 401", async () => {
  await refused(project().identify(new Request("http://local.test")), 401, "unauthorized");
});

Deno.test("without a signing key there are no API keys", async () => {
  await refused(project({ canSign: false }).identify(bearing(SECRET)), 503, "api_keys_unavailable");
});

const count = Deno.env.get("METERBASE_TEST_SCALE") === "full" ? 1_000_000 : 50_000;
Deno.test(`${count} malformed keys are refused without a query`, async () => {
  const { identify, asked, tokens } = project();
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const random = (n: number) => Math.floor(Math.random() * n);
  const digit = () => digits.charAt(random(62));
  const malformed = [
    () => `sk_live_${Array.from({ length: 36 }, digit).join("")}`,
    () => {
      const i = 8 + random(36);
      const other = digits.charAt((digits.indexOf(SECRET.charAt(i)) + 1 + random(61)) % 62);
      return SECRET.slice(0, i) + other + SECRET.slice(i + 1);
    },
    () => SECRET.slice(0, 8 + random(36)),
    () => `${SECRET}${digit()}`,
    () => `sk_test_${SECRET.slice(8)}`,
  ];
  for (let i = 0; i < count; i++) {
    const secret = malformed[i % malformed.length]?.() ?? "";
    const outcome = await identify(bearing(secret)).catch((error) => error);
    if (!(outcome instanceof ApiError) || outcome.code !== "invalid_api_key") assert.fail(secret);
  }
  assert.deepEqual([asked, tokens], [[], []]);
});
