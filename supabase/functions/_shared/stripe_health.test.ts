import assert from "node:assert/strict";
import { ApiError } from "./http.ts";
import { createStripeHealth } from "./stripe_health.ts";
import { logged } from "./testing.ts";

/** An instance whose time is told, and what the database was told by it. */
function instance(answer: (call: number) => Promise<unknown> = () => Promise.resolve(null)) {
  let ms = 0;
  const told: unknown[] = [];
  let work: Promise<void> = Promise.resolve();
  const report = createStripeHealth({
    service: (name, args) => {
      told.push([name, args.succeeded, args.failed, args.last_error]);
      return answer(told.length);
    },
    now: () => new Date(ms),
    keepAlive: (given) => {
      work = given;
    },
  });
  const passes = (more: number) => {
    ms += more;
  };
  return { report, told, passes, settled: () => work };
}
const call = (succeeded: number, failed = 0, error: string | null = null) => [
  "record_stripe_calls",
  succeeded,
  failed,
  error,
];

Deno.test("the first success is told, those after it together, each ten seconds", async () => {
  const { report, told, passes, settled } = instance();
  for (let i = 0; i < 25; i++) {
    report(true);
    await settled();
    passes(1_000);
  }
  assert.deepEqual(told, [call(1), call(10), call(10)]);
});

Deno.test("a failure is told at once, with what there was before it", async () => {
  const { report, told, settled } = instance();
  report(true);
  await settled();
  report(true);
  report(false, "Stripe answered 500.");
  await settled();
  assert.deepEqual(told, [call(1), call(1, 1, "Stripe answered 500.")]);
});

Deno.test("nobody waits, and failures in the meantime are told together", async () => {
  let answer = () => {};
  const { report, told, settled } = instance((n) =>
    n > 1
      ? Promise.resolve()
      : new Promise<void>((resolve) => {
          answer = resolve;
        }),
  );
  for (const error of ["a", "b", "c"]) report(false, error);
  assert.deepEqual(told, [call(0, 1, "a")]);
  answer();
  await settled();
  assert.deepEqual(told, [call(0, 1, "a"), call(0, 2, "c")]);
});

Deno.test("what could not be told is told with the next", async () => {
  const { report, told, settled } = instance((n) =>
    n === 1 ? Promise.reject(new ApiError(503, "database_unavailable", "Try again.")) : Promise.resolve(),
  );
  const { lines } = await logged(async () => {
    report(false, "a");
    await settled();
  });
  assert.equal(lines.length, 1);
  report(false, "b");
  await settled();
  assert.deepEqual(told.at(-1), call(0, 2, "b"));
});
