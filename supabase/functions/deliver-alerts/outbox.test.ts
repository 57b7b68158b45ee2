import assert from "node:assert/strict";
import { failure, outboxOf } from "./outbox.ts";
import { notification } from "./testing.ts";

Deno.test("the outbox is asked as the service role, in the contract's words", async () => {
  const calls: unknown[] = [];
  const outbox = outboxOf((name, args) => {
    calls.push([name, args]);
    return Promise.resolve(
      name === "claim_alert_notifications" ? [{ ...notification(1), config: null, more: 1 }] : 1,
    );
  });
  assert.deepEqual(await outbox.claim(100, 60), [{ ...notification(1), config: {} }]);
  const report = { id: "1", attempt: 2, ...failure("no", { is_gone: true }) };
  await outbox.complete([report]);
  assert.deepEqual(calls, [
    ["claim_alert_notifications", { max_rows: 100, lease_seconds: 60 }],
    ["complete_alert_notifications", { outcomes: [report] }],
  ]);
});

Deno.test("an answer that is none is an error", async () => {
  await assert.rejects(outboxOf(() => Promise.resolve([{ id: 1 }])).claim(1, 60));
});

Deno.test("an error is one short line that any database takes", () => {
  const { error } = failure(`a\u0000b\r\n\ud800${"x".repeat(500)}`);
  assert.match(error, /^a b \ufffdx+…$/);
  assert.equal(error.length, 300);
});
