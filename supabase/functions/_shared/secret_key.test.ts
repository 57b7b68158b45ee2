import assert from "node:assert/strict";
import { requireSecretKey } from "./secret_key.ts";

const KEY = "sb_secret_of_this_project";
const ask = (headers: Record<string, string>) =>
  requireSecretKey(new Request("http://local.test", { method: "POST", headers }), KEY);

Deno.test("the project's secret key opens", async () => {
  await ask({ apikey: KEY });
});

for (const [what, headers] of [
  ["no key", {}],
  ["an empty key", { apikey: "" }],
  ["another key", { apikey: "sb_secret_of_another" }],
  ["a part of the key", { apikey: KEY.slice(0, -1) }],
  ["the key and more", { apikey: `${KEY}x` }],
  ["the key where a user's token goes", { authorization: `Bearer ${KEY}` }],
] as [string, Record<string, string>][]) {
  Deno.test(`${what} is a 401`, async () => {
    await assert.rejects(ask(headers), { status: 401, code: "unauthorized" });
  });
}
