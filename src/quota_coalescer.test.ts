import { expect, test } from "vitest";
import {
  InvalidRequestError,
  MeterbaseError,
  NotFoundError,
  PermissionError,
  UnavailableError,
} from "./errors.ts";
import { QuotaCoalescer, type Take } from "./quota_coalescer.ts";

/** A database whose calls are answered when the test says so, with the amounts that they ask. */
function database(maxCalls = 4, fault?: (takes: Take[]) => Error | undefined) {
  const calls: { takes: Take[]; groups: number; end: () => void }[] = [];
  const coalescer = new QuotaCoalescer<number>(
    (groups) =>
      new Promise((resolve, reject) => {
        const takes = groups.flat();
        const end = () => {
          const error = fault?.(takes);
          if (error) reject(error);
          else resolve(takes.map(({ amount }) => amount));
        };
        calls.push({ takes, groups: groups.length, end });
      }),
    maxCalls,
  );
  const take = (metric: string, amount: number) =>
    coalescer.take({ tenantId: "t", metric, amount, subject: undefined, idempotencyKey: undefined });
  const amounts = () => calls.map(({ takes }) => takes.map((one) => one.amount));
  return { calls, take, amounts };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("a lone caller goes at once; who asks for its counter meanwhile goes together with the next call", async () => {
  const { calls, take, amounts } = database();
  const first = take("tokens", 1);
  await settled();
  const others = [take("tokens", 2), take("tokens", 3)];
  await settled();
  expect(amounts()).toEqual([[1]]);
  calls[0]?.end();
  expect(await first).toBe(1);
  await settled();
  expect(amounts()).toEqual([[1], [2, 3]]);
  calls[1]?.end();
  expect(await Promise.all(others)).toEqual([2, 3]);
});

test("another counter does not wait for it", async () => {
  const { calls, take, amounts } = database();
  void take("tokens", 1);
  await settled();
  void take("tokens", 2);
  const other = take("embeddings", 3);
  await settled();
  expect(amounts()).toEqual([[1], [3]]);
  calls[1]?.end();
  expect(await other).toBe(3);
});

test("callers of one turn share a call, whatever they ask for", async () => {
  const { calls, take, amounts } = database(1);
  for (let i = 1; i <= 3; i++) void take(`m${i % 2}`, i);
  await settled();
  expect(amounts()).toEqual([[1, 3, 2]]); // counter by counter
  expect(calls[0]?.groups).toBe(2);
});

test("many counters are shared out among the calls that may go out", async () => {
  const { take, amounts } = database(3);
  for (let i = 1; i <= 7; i++) void take(`m${i}`, i);
  await settled();
  expect(amounts()).toEqual([
    [1, 2, 3],
    [4, 5],
    [6, 7],
  ]);
});

test("no more calls than allowed are in flight, and none of more than 1,000", async () => {
  const { calls, take, amounts } = database(2);
  for (const metric of ["a", "b", "c"]) {
    void take(metric, 1);
    await settled();
  }
  expect(amounts()).toEqual([[1], [1]]);
  for (let i = 0; i < 1_500; i++) void take("c", i);
  calls[0]?.end();
  await settled();
  expect(calls).toHaveLength(3);
  expect(calls[2]?.takes).toHaveLength(1_000);
  calls[2]?.end();
  await settled();
  expect(calls[3]?.takes).toHaveLength(501);
});

test("a refused request fails its caller alone", async () => {
  const fault = (takes: Take[]) =>
    takes.some(({ amount }) => amount === 0)
      ? new InvalidRequestError("invalid_amount", 400, "no")
      : undefined;
  const { calls, take } = database(4, fault);
  const asked = [5, 0, 6, 7].map((amount) => take("tokens", amount));
  const outcomes = Promise.allSettled(asked);
  for (let i = 0; i < 8; i++) {
    await settled();
    for (const call of calls) call.end();
  }
  expect((await outcomes).map((one) => (one.status === "fulfilled" ? one.value : one.reason.code))).toEqual([
    5,
    "invalid_amount",
    6,
    7,
  ]);
});

test("an outage, and a session that has ended, fail all of a call at once", async () => {
  for (const error of [
    new UnavailableError("unavailable", 0, "away"),
    new PermissionError("PGRST303", 401, "expired"),
  ]) {
    const { calls, take } = database(4, () => error);
    const outcomes = Promise.allSettled([take("tokens", 1), take("tokens", 2)]);
    await settled();
    calls[0]?.end();
    expect(await outcomes).toMatchObject([{ reason: error }, { reason: error }]);
    expect(calls).toHaveLength(1);
  }
});

test("what the database may have carried out is not sent again", async () => {
  const unreadable = new MeterbaseError("unexpected_answer", 200, "what?");
  const { calls, take } = database(4, () => unreadable);
  const outcomes = Promise.allSettled([take("tokens", 1), take("tokens", 2)]);
  await settled();
  calls[0]?.end();
  expect(await outcomes).toMatchObject([{ reason: unreadable }, { reason: unreadable }]);
  expect(calls).toHaveLength(1);
});

test("what is wrong with a counter fails all who ask for it, and nobody else", async () => {
  const unknown = new NotFoundError("metric_not_found", 404, "no");
  const fault = (takes: Take[]) => (takes.some(({ metric }) => metric === "naps") ? unknown : undefined);
  const { calls, take } = database(1, fault);
  const outcomes = Promise.allSettled([...Array(50).fill("naps"), "tokens"].map((metric) => take(metric, 1)));
  for (let i = 0; i < 4; i++) {
    await settled();
    for (const call of calls) call.end();
  }
  expect((await outcomes).map(({ status }) => status)).toEqual([...Array(50).fill("rejected"), "fulfilled"]);
  expect(calls).toHaveLength(3);
});

test("a counter that always has callers does not keep the others waiting", async () => {
  const { calls, take } = database(1);
  for (let i = 0; i < 3_000; i++) void take("hot", 1);
  await settled();
  const cold = take("cold", 7);
  for (let i = 0; i < 2; i++) {
    calls.at(-1)?.end();
    await settled();
  }
  calls.at(-1)?.end();
  expect(await cold).toBe(7);
});
