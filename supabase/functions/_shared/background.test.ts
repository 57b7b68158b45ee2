import assert from "node:assert/strict";
import { inBackground } from "./background.ts";
import { logged } from "./testing.ts";

const runtime = globalThis as { EdgeRuntime?: unknown };

Deno.test("the edge runtime is told what to wait for, and that does not fail", async () => {
  const told: Promise<unknown>[] = [];
  runtime.EdgeRuntime = { waitUntil: (work: Promise<unknown>) => told.push(work) };
  try {
    inBackground(Promise.resolve("done"));
    const { lines } = await logged(async () => {
      inBackground(Promise.reject(new Error("no")));
      await Promise.all(told);
    });
    assert.equal(await told[0], "done");
    assert.deepEqual(
      [told.length, lines],
      [2, [{ level: "error", msg: "Work in the background failed", error: "Error: no" }]],
    );
  } finally {
    delete runtime.EdgeRuntime;
  }
});

Deno.test("where there is no edge runtime the work goes on by itself", async () => {
  const { lines } = await logged(async () => {
    inBackground(Promise.reject(new Error("no")));
    await new Promise((resolve) => setTimeout(resolve, 0));
  });
  assert.equal(lines.length, 1);
});
