import assert from "node:assert/strict";
import { z } from "zod";
import { connect, one } from "./database.ts";

Deno.test("rows come in the order of a column", async () => {
  const before = globalThis.fetch;
  let url = "";
  globalThis.fetch = async (input) => {
    url = input instanceof Request ? input.url : String(input);
    return Response.json([]);
  };
  try {
    await connect({ url: "http://project.test", key: "k" }).rows(
      "api_keys",
      { tenant_id: "t" },
      "created_at",
    );
  } finally {
    globalThis.fetch = before;
  }
  const { pathname, searchParams } = new URL(url);
  assert.deepEqual(
    [pathname, searchParams.get("tenant_id"), searchParams.get("order")],
    ["/rest/v1/api_keys", "eq.t", "created_at.asc"],
  );
});

Deno.test("one row is one row", () => {
  assert.equal(one(z.number(), [1]), 1);
  for (const rows of [[], [1, 2], ["1"], null, 1]) assert.throws(() => one(z.number(), rows));
});
