import assert from "node:assert/strict";
import { logged } from "../_shared/testing.ts";
import type { Notification, Outcome, Report } from "./outbox.ts";
import { notification, virtualClock } from "./testing.ts";
import { drain, FINISH_MS, MAX_CLAIM, MAX_IN_FLIGHT } from "./worker.ts";

interface Setting {
  linger?: number;
  maxMessages?: number;
  /** What is in the outbox, and from which millisecond on. */
  due?: { n: number; at?: number }[];
  /** How long a message takes, in milliseconds. */
  takes?: (n: number) => number;
  outcome?: (n: number) => Outcome;
  /** Thrown by the first so many claims, or reports. */
  failing?: { claims?: number; reports?: number };
  claimHangs?: number;
}

const numberOf = ({ id }: { id: string }) => Number(id.slice(-12));
const range = (count: number) => Array.from({ length: count }, (_, i) => ({ n: i + 1 }));

/** Runs the worker on an outbox; times are milliseconds from its start. */
async function run(setting: Setting) {
  const { linger = 5_000, takes = () => 10, outcome = () => ({ ok: true }) } = setting;
  const clock = virtualClock();
  const start = clock.now();
  const at = () => clock.now() - start;
  const due = [...(setting.due ?? [])];
  const claims: { at: number; asked: number; lease: number; got: number[] }[] = [];
  const batches: { at: number; reports: Report[] }[] = [];
  const sent: { n: number; from: number }[] = [];
  let inFlight = 0;
  let most = 0;
  const worker = drain(
    {
      clock,
      outbox: {
        claim: async (asked, lease) => {
          const call = { at: at(), asked, lease, got: [] as number[] };
          claims.push(call);
          if (claims.length <= (setting.failing?.claims ?? 0)) throw new Error("away");
          if (claims.length <= (setting.claimHangs ?? 0)) return new Promise(() => {});
          const now = due.filter(({ at: from = 0 }) => from <= at()).slice(0, asked);
          for (const row of now) due.splice(due.indexOf(row), 1);
          call.got = now.map(({ n }) => n);
          return now.map(({ n }) => notification(n, { attempt: 3 }));
        },
        complete: async (reports) => {
          batches.push({ at: at(), reports: [...reports] });
          if (batches.length <= (setting.failing?.reports ?? 0)) throw new Error("away");
        },
      },
      send: async (message: Notification) => {
        const n = numberOf(message);
        sent.push({ n, from: at() });
        most = Math.max(most, ++inFlight);
        await clock.sleep(takes(n));
        inFlight--;
        return outcome(n);
      },
    },
    linger,
    setting.maxMessages,
  );
  const { result: totals, lines } = await logged(() => clock.run(worker));
  return { totals, claims, batches, sent, most, lines, endedAt: at() };
}

const told = (batches: { reports: Report[] }[]) =>
  batches.flatMap(({ reports }) => reports.map(numberOf)).sort((a, b) => a - b);

Deno.test("what is due is claimed for a lease, sent, and reported with its attempt", async () => {
  const no: Outcome = { ok: false, error: "no", retry_after_seconds: 5, blocks_channel: true };
  const { totals, claims, batches } = await run({
    due: range(2),
    outcome: (n) => (n === 2 ? no : { ok: true }),
  });
  assert.deepEqual([totals.sent, totals.failed, totals.claims], [1, 1, claims.length]);
  assert.deepEqual(claims[0], { at: 0, asked: MAX_CLAIM, lease: 60, got: [1, 2] });
  const [first, second] = batches[0]?.reports ?? [];
  assert.deepEqual(first, { id: notification(1).id, attempt: 3, ok: true });
  assert.deepEqual(second, { id: notification(2).id, attempt: 3, ...no });
});

Deno.test("an empty outbox is asked about each second until the time is over", async () => {
  const { totals, claims, endedAt } = await run({ linger: 10_000 });
  assert.deepEqual([totals.sent, totals.failed], [0, 0]);
  const gaps = claims.slice(1).map(({ at }, i) => at - (claims[i]?.at ?? 0));
  assert.ok(Math.max(...gaps) <= 1000 && claims.length >= 10 && claims.length <= 15, String(gaps));
  assert.equal(endedAt, 10_000);
});

Deno.test("what comes while it waits is delivered", async () => {
  const { totals, sent } = await run({ due: [{ n: 1, at: 4_200 }] });
  assert.equal(totals.sent, 1);
  assert.ok((sent[0]?.from ?? 9999) <= 5_000);
});

Deno.test("no time to linger is one claim", async () => {
  const { totals, claims, batches } = await run({ linger: 0, due: range(150) });
  assert.deepEqual([totals.sent, claims.length], [100, 1]);
  assert.equal(told(batches).length, 100);
});

Deno.test("1,000 messages: at most 200 in flight, all claimed by what is free, all reported in batches", async () => {
  const { totals, claims, batches, most } = await run({ due: range(1000), takes: (n) => 100 + (n % 7) * 50 });
  assert.equal(totals.sent, 1000);
  assert.ok(most <= MAX_IN_FLIGHT && most > MAX_CLAIM, String(most));
  assert.ok(claims.every(({ asked }) => asked >= 1 && asked <= MAX_CLAIM));
  assert.deepEqual(
    told(batches),
    range(1000).map(({ n }) => n),
  );
  assert.ok(batches.length < 100, String(batches.length));
});

for (const maxMessages of [1, 100, 250]) {
  Deno.test(`a run of at most ${maxMessages} claims no more, and ends with them`, async () => {
    const { totals, claims, batches, endedAt } = await run({ due: range(1000), maxMessages });
    let left = maxMessages;
    for (const { asked, got } of claims) {
      assert.ok(asked >= 1 && asked <= left, `${asked} of ${left}`);
      left -= got.length;
    }
    assert.deepEqual([left, totals.sent, told(batches).length], [0, maxMessages, maxMessages]);
    assert.ok(endedAt < 1_000, String(endedAt));
  });
}

Deno.test("a run that finds fewer goes on until its time is over", async () => {
  const due = [{ n: 1 }, { n: 2, at: 1_000 }, { n: 3, at: 2_000 }, { n: 4, at: 3_500 }];
  const { totals, claims, endedAt } = await run({ due, maxMessages: 4, linger: 10_000 });
  assert.deepEqual([totals.sent, claims[0]?.asked, claims.at(-1)?.asked], [4, 4, 1]);
  assert.ok(endedAt >= 3_500 && endedAt < 5_000, String(endedAt));
  const fewer = await run({ due: due.slice(0, 3), maxMessages: 4, linger: 10_000 });
  assert.deepEqual([fewer.totals.sent, fewer.endedAt], [3, 10_000]);
});

Deno.test("messages that hang hold up nothing but their slots", async () => {
  const { sent, totals } = await run({
    linger: 20_000,
    due: [...range(150), ...Array.from({ length: 500 }, (_, i) => ({ n: 1000 + i, at: 200 }))],
    takes: (n) => (n <= 150 ? 10_000 : 10),
  });
  assert.equal(totals.sent, 650);
  const others = sent.filter(({ n }) => n >= 1000).map(({ from }) => from);
  assert.ok(Math.max(...others) < 3_000, String(Math.max(...others)));
});

Deno.test("all slots hang: others are claimed once there is one", async () => {
  const { sent, totals, most } = await run({
    linger: 15_000,
    due: [...range(200), { n: 1000 }],
    takes: (n) => (n <= 200 ? 10_000 : 10),
  });
  assert.deepEqual([totals.sent, most], [201, MAX_IN_FLIGHT]);
  assert.ok((sent.find(({ n }) => n === 1000)?.from ?? 0) >= 10_000);
});

Deno.test("a report makes room: the outbox is asked again at once", async () => {
  const { claims } = await run({ due: [{ n: 1 }], takes: () => 4_050 });
  assert.ok(
    claims.some(({ at }) => at >= 4_050 && at <= 4_160),
    JSON.stringify(claims.map(({ at }) => at)),
  );
});

Deno.test("50 outcomes are reported at once, fewer after 100 ms, and the last of all at once", async () => {
  const { batches } = await run({ due: range(61), takes: (n) => (n <= 50 ? 10 : n <= 60 ? 20 : 500) });
  assert.deepEqual(
    batches.map(({ at, reports }) => [at, reports.length]),
    [
      [10, 50],
      [120, 10],
      [500, 1],
    ],
  );
});

Deno.test("what is in flight when the time is over is ended and reported", async () => {
  const { totals, batches, claims, endedAt } = await run({
    linger: 1_000,
    due: range(3),
    takes: () => 10_000,
  });
  assert.equal(totals.sent, 3);
  assert.equal(told(batches).length, 3);
  assert.ok(claims.every(({ at }) => at < 1_000));
  assert.ok(endedAt <= 10_200, String(endedAt));
});

Deno.test("a database that is away is asked again, with a pause, until it is back", async () => {
  const { totals, claims, lines } = await run({ due: range(1), failing: { claims: 3 } });
  assert.equal(totals.sent, 1);
  assert.deepEqual(
    claims.slice(0, 4).map(({ at }) => at),
    [0, 1000, 2000, 3000],
  );
  assert.equal(lines.length, 3);
});

Deno.test("a database that stays away is asked until the time is over", async () => {
  const { totals, endedAt } = await run({ failing: { claims: 99 } });
  assert.deepEqual([totals.sent, totals.claims, endedAt], [0, 5, 5_000]);
});

Deno.test("a claim that hangs is given up", async () => {
  const { totals, endedAt } = await run({ linger: 15_000, due: range(1), claimHangs: 1 });
  assert.deepEqual([totals.sent, endedAt], [1, 15_000]);
  const late = await run({ linger: 1_000, claimHangs: 9 });
  assert.ok(late.endedAt <= 3_000, String(late.endedAt));
});

Deno.test("outcomes that could not be reported are reported again, and none is lost", async () => {
  const { batches, endedAt } = await run({ due: range(120), takes: (n) => n * 10, failing: { reports: 2 } });
  assert.deepEqual(new Set(told(batches.slice(2))), new Set(range(120).map(({ n }) => n)));
  assert.equal(endedAt, 5_000);
});

Deno.test("after the time is over, too, but not for ever", async () => {
  const some = await run({ linger: 500, due: range(3), takes: () => 400, failing: { reports: 3 } });
  assert.equal(told(some.batches.slice(3)).length, 3);
  const none = await run({ linger: 500, due: range(3), takes: () => 400, failing: { reports: 99 } });
  assert.ok(none.endedAt <= 500 + FINISH_MS, String(none.endedAt));
  assert.deepEqual(none.lines.at(-1), {
    level: "error",
    msg: "Messages were sent that will be sent again",
    count: 3,
  });
});
