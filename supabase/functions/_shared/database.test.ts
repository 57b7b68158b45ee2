import assert from "node:assert/strict";
import { z } from "zod";
import { connect, one } from "./database.ts";

/** The URL that is asked for a table's rows. */
async function asked(order: string): Promise<URL> {
  const before = globalThis.fetch;
  let url = "";
  globalThis.fetch = async (input) => {
    url = input instanceof Request ? input.url : String(input);
    return Response.json([]);
  };
  try {
    await connect({ url: "http://project.test", key: "k" }).rows("invoices", { tenant_id: "t" }, order);
  } finally {
    globalThis.fetch = before;
  }
  return new URL(url);
}

for (const [order, expected] of [
  ["created_at", "created_at.asc"],
  ["created_at desc", "created_at.desc"],
] as const) {
  Deno.test(`rows in the order of ${order}`, async () => {
    const { pathname, searchParams } = await asked(order);
    assert.deepEqual(
      [pathname, searchParams.get("tenant_id"), searchParams.get("order")],
      ["/rest/v1/invoices", "eq.t", expected],
    );
  });
}

Deno.test("one row is one row", () => {
  assert.equal(one(z.number(), [1]), 1);
  for (const rows of [[], [1, 2], ["1"], null, 1]) assert.throws(() => one(z.number(), rows));
});
