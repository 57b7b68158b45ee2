import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import {
  aggregate,
  ago,
  countPeriods,
  HOUR,
  isPercentile,
  newTenant,
  PERIOD_TYPES,
  pendingBatches,
  type RecordAnswer,
  recompute,
  record,
  type SentEvent,
  storedEvents,
  storedPeriods,
  storedRollups,
} from "../helpers/usage.ts";

const LANES = 4;
/** The first failure as it came: to make it smaller would take as long as many histories, and with others at once in vain. */
const ONCE = { endOnFailure: true };
let lanes: Sql[];
let sql: Sql;

beforeAll(() => {
  const connect = () => postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
  lanes = Array.from({ length: LANES }, connect);
  sql = connect();
});
afterAll(() => Promise.all([sql, ...lanes].map((connection) => connection.end())));

// What happens -----------------------------------------------------------------------------------------------------------

/** An event before it has a time: `hours` and `ms` are how long ago it happened. */
interface Draft extends Omit<SentEvent, "event_timestamp"> {
  hours: number;
  ms: number;
}

const TYPES = [
  "api_call",
  "chat_message",
  "chat_message",
  "embedding",
  "search",
  "kb_ingest",
  "data_export",
  "ai_request",
  "execution",
  "run_time",
  "analysis_run",
];

/** Few hours and few seconds, so that batches meet in them: peaks, sessions and sketches are then made of several. */
const draft = (id: fc.Arbitrary<string>): fc.Arbitrary<Draft> =>
  fc.record(
    {
      event_id: id,
      event_type: fc.constantFrom(...TYPES),
      hours: fc.constantFrom(0, 0, 1, 2, 25, 24 * 12 + 3, 24 * 29),
      ms: fc.oneof(fc.integer({ min: 0, max: 4_000 }), fc.integer({ min: 0, max: HOUR })),
      tokens_consumed: fc.integer({ min: 0, max: 5_000 }),
      cost_usd: fc.integer({ min: 0, max: 1_000_000 }).map((units) => units / 1e5),
      api_response_time_ms: fc
        .integer({ min: 0, max: 9_000_000 })
        .map((microseconds) => microseconds / 1_000),
      api_status_code: fc.constantFrom(200, 201, 302, 400, 404, 429, 500, 503),
      quantity: fc.integer({ min: 0, max: 9 }),
      metadata: fc.record(
        { session_id: fc.constantFrom("", "a", "b", "c"), direction: fc.constantFrom("sent", "received") },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: ["event_id", "event_type", "hours", "ms"] },
  );

/** What makes an otherwise fine event one that is refused. */
const FAULTS: Partial<Record<keyof SentEvent, string | number>>[] = [
  { event_timestamp: ago(31 * 24 * HOUR) },
  { event_timestamp: ago(-HOUR) },
  { event_timestamp: "yesterday" },
  { event_type: "unknown" },
  { event_id: "" },
  { tokens_consumed: -1 },
];

type Action =
  | { do: "record"; tenant: number; events: Draft[]; refused: number[]; retried: "" | "lost" | "repeated" }
  | { do: "pass" }
  | { do: "deny"; tenant: number };

const tenantIndex = fc.nat({ max: 2 });
// From a pool that is smaller than the number of events: the same id comes again, with another time and other values.
const pooled = draft(fc.nat({ max: 60 }).map((n) => `event-${n}`));
const recording = (events: fc.Arbitrary<Draft[]>): fc.Arbitrary<Action> =>
  fc.record({
    do: fc.constant("record" as const),
    tenant: tenantIndex,
    events,
    refused: fc.array(fc.nat({ max: FAULTS.length - 1 }), { maxLength: 2 }),
    retried: fc.constantFrom("", "", "lost", "repeated"),
  });
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: recording(fc.array(pooled, { maxLength: 25, size: "max" })) },
  // Enough latencies in one hour for its sketch to lose them.
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(), fc.array(draft(fc.constant("")), { minLength: 5, maxLength: 15 }))
      .chain(([seed, some]) =>
        recording(
          fc.constant(
            Array.from({ length: 210 }, (_, i): Draft => {
              const one = some[i % some.length] as Draft;
              return {
                ...one,
                event_id: `bulk-${seed}-${i}`,
                hours: 1,
                api_response_time_ms: ((i * seed) % 7_919) / 8,
              };
            }),
          ),
        ),
      ),
  },
  { weight: 3, arbitrary: fc.constant<Action>({ do: "pass" }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("deny" as const), tenant: tenantIndex }) },
);

/** Rounds of lanes that run at once, each lane some actions one after the other on a connection of its own. */
const history = fc.array(
  fc.array(fc.array(action, { minLength: 1, maxLength: 4, size: "max" }), {
    minLength: 1,
    maxLength: LANES,
    size: "max",
  }),
  { minLength: 1, maxLength: 4, size: "max" },
);

function dated({ hours, ms, ...event }: Draft, now: number): SentEvent {
  return { ...event, event_timestamp: ago(hours * HOUR + ms, now) };
}

/** Calls of record_usage whose transaction was committed: what was sent, and the answer. */
interface Call {
  tenantId: string;
  sent: SentEvent[];
  refused: number;
  answer: RecordAnswer;
}

async function play(rounds: Action[][][], tenantIds: string[], now: number): Promise<Call[]> {
  const calls: Call[] = [];
  const act = async (connection: Sql, step: Action) => {
    if (step.do === "pass") return aggregate(connection);
    const tenantId = tenantIds[step.tenant] as string;
    if (step.do === "deny") {
      // What is used changes, or the denial would be the one that has a receipt already.
      await connection`select public.consume_quota(${tenantId}, 'tokens', 1)`;
      return connection`select public.consume_quota(${tenantId}, 'tokens', 100000)`;
    }
    const fine = step.events.map((event) => dated(event, now));
    const refused = step.refused.map((fault, i) => ({
      event_id: `refused-${i}`,
      event_type: "api_call",
      ...FAULTS[fault],
    }));
    const sent = [...refused.slice(1), ...fine, ...refused.slice(0, 1)] as SentEvent[];
    const call = async () => ({
      tenantId,
      sent,
      refused: refused.length,
      answer: await record(connection, tenantId, sent),
    });
    if (step.retried === "lost") {
      await connection`begin`;
      await call();
      await connection`rollback`;
    }
    calls.push(await call());
    if (step.retried === "repeated") calls.push(await call());
  };
  for (const round of rounds) {
    await Promise.all(
      round.map(async (steps, lane) => {
        for (const step of steps) await act(lanes[lane] as Sql, step);
      }),
    );
  }
  return calls;
}

/** What get_tenant_usage says of all periods. The quota of those under way is enforcement's, so it is none of the roll-ups'. */
async function read(tenantIds: string[]): Promise<unknown[]> {
  const rows = await Promise.all(
    tenantIds.flatMap((id) =>
      PERIOD_TYPES.map(
        (type) => sql`
          select to_jsonb(u) - array['quota_limit', 'quota_remaining'] as usage
          from public.get_tenant_usage(${id}, now() - interval '32 days', now() + interval '1 day', ${type}) u`,
      ),
    ),
  );
  return rows.flatMap((some) => some.map(({ usage }) => usage));
}

/** Tenants of a history's own; deleted after it, so that counting anew stays a matter of few events. */
async function tenants(count: number): Promise<string[]> {
  const ids = await Promise.all(Array.from({ length: count }, () => newTenant(sql)));
  await sql`select public.set_custom_quota(id, 'tokens', 1000) from unnest(${ids}::uuid[]) id`;
  return ids;
}

// What holds -------------------------------------------------------------------------------------------------------------

test("any history of late, repeated, concurrent and retried batches is counted exactly", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (rounds) => {
      const now = Date.now();
      const tenantIds = await tenants(3);
      const calls = await play(rounds, tenantIds, now);

      // Each id once, as one of those that were sent with it.
      const events = await storedEvents(sql, tenantIds);
      for (const { answer, sent, refused } of calls) {
        expect(answer.rejected).toHaveLength(refused);
        expect(answer.accepted + answer.duplicates + answer.rejected.length).toBe(sent.length);
      }
      const sentAs = new Map<string, Set<string>>();
      for (const { tenantId, sent } of calls) {
        for (const event of sent) {
          if (event.event_id.startsWith("refused") || event.event_id === "") continue;
          const key = `${tenantId} ${event.event_id}`;
          sentAs.set(
            key,
            (sentAs.get(key) ?? new Set()).add(`${event.event_timestamp} ${event.tokens_consumed ?? 0}`),
          );
        }
      }
      expect(events).toHaveLength(sentAs.size);
      expect(calls.reduce((sum, { answer }) => sum + answer.accepted, 0)).toBe(sentAs.size);
      for (const event of events) {
        const sent = sentAs.get(`${event.tenant_id} ${event.event_id}`);
        expect(sent).toContain(`${event.event_timestamp.toISOString()} ${event.tokens_consumed}`);
      }

      // The roll-ups and the tail say what the roll-ups say when there is no tail.
      const before = await read(tenantIds);
      await aggregate(sql);
      expect(await pendingBatches(sql, tenantIds)).toBe(0);
      expect(await read(tenantIds)).toEqual(before);

      // What was added up is what the events say.
      const denials = await sql<{ tenant_id: string; created_at: Date }[]>`
        select tenant_id, created_at from public.quota_decisions where tenant_id = any (${tenantIds}) and not allowed`;
      const expected = countPeriods(events, denials);
      const actual = await storedPeriods(sql, tenantIds);
      expect(new Map([...actual].map(([key, { period }]) => [key, period]))).toEqual(
        new Map([...expected].map(([key, { period }]) => [key, period])),
      );
      for (const [key, { percentiles }] of actual) {
        const latencies = expected.get(key)?.latencies ?? [];
        const right = [50, 95, 99].map((percent, i) =>
          isPercentile(percentiles[i] ?? null, latencies, percent),
        );
        expect([key, percentiles, right]).toEqual([key, percentiles, [true, true, true]]);
      }

      // Counting anew changes nothing.
      const stored = await storedRollups(sql, tenantIds);
      await recompute(sql);
      expect(await storedRollups(sql, tenantIds)).toEqual(stored);
      await sql`delete from public.tenants where id = any (${tenantIds})`;
    }),
    { ...ONCE, numRuns: scaled(15, 200) },
  );
}, 600_000);

test("the same events give the same rows, in whatever batches and order they come", async () => {
  const distinct = fc
    .array(draft(fc.constant("")), { minLength: 1, maxLength: 300, size: "max" })
    .map((drafts) => drafts.map((one, i) => ({ ...one, event_id: `event-${i}` })));
  const plan = distinct.chain((events) =>
    fc.record({
      inOrder: fc.constant(events),
      shuffled: fc.shuffledSubarray(events, { minLength: events.length, maxLength: events.length }),
      sizes: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
      passes: fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(plan, async ({ inOrder, shuffled, sizes, passes }) => {
      const now = Date.now();
      const [whole, split] = (await tenants(2)) as [string, string];
      await record(
        sql,
        whole,
        inOrder.map((event) => dated(event, now)),
      );
      let at = 0;
      for (let i = 0; at < shuffled.length; i++) {
        const size = sizes[i % sizes.length] as number;
        await record(
          sql,
          split,
          shuffled.slice(at, at + size).map((event) => dated(event, now)),
        );
        at += size;
        if (passes[i % passes.length]) await aggregate(sql);
      }
      await aggregate(sql);
      expect(await storedRollups(sql, [split])).toEqual(await storedRollups(sql, [whole]));
      await sql`delete from public.tenants where id in ${sql([whole, split])}`;
    }),
    { ...ONCE, numRuns: scaled(8, 100) },
  );
}, 600_000);
