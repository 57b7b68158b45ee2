import { randomUUID } from "node:crypto";
import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";
import {
  aggregate,
  ago,
  countPeriods,
  DAY,
  newTenant,
  pendingBatches,
  recompute,
  record,
  type SentEvent,
  storedEvents,
  storedPeriods,
  storedRollups,
} from "../helpers/usage.ts";

/** The first failure as it came: to make it smaller would take as long as many histories, and with others at once in vain. */
const ONCE = { endOnFailure: true };

// A database of its own: here days are dropped and passes are held open, which others would notice.
let database: Database;
let sql: Sql;
const connections: Sql[] = [];

beforeAll(async () => {
  database = await startDatabase();
  sql = await connect();
  connections.length = 0;
});
// Whatever a test that failed has left open would hold up the others.
afterEach(() => Promise.all(connections.splice(0).map((connection) => connection.end({ timeout: 1 }))));
afterAll(async () => {
  await sql?.end({ timeout: 1 });
  await database?.stop();
});

/** A connection of its own, on which what waits for somebody who waits for it fails instead of hanging. */
async function connect(): Promise<Sql> {
  const connection = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  await connection`set statement_timeout = '30s'`;
  connections.push(connection);
  return connection;
}
const connectAll = (count: number) => Promise.all(Array.from({ length: count }, connect));

const events = (count: number, fields: Partial<SentEvent> = {}): SentEvent[] =>
  Array.from({ length: count }, () => ({
    event_id: randomUUID(),
    event_type: "api_call",
    tokens_consumed: 1,
    ...fields,
  }));

/** What the roll-ups say of all time: events in the counts, and tokens in the months that people read. */
async function counted(tenantId: string, connection = sql): Promise<{ events: number; tokens: number }> {
  const [total] = await connection<[{ events: number; tokens: number }]>`
    select
      (select coalesce(sum((r.counts).events), 0)::int from private.usage_rollups r
        where r.tenant_id = ${tenantId} and r.period_type = 'hourly') as events,
      (select coalesce(sum(m.total_tokens_used), 0)::int from public.tenant_usage_metrics m
        where m.tenant_id = ${tenantId} and m.period_type = 'monthly') as tokens`;
  return total;
}

async function pidOf(connection: Sql): Promise<number> {
  const [row] = await connection`select pg_backend_pid() as pid`;
  return row?.pid;
}

/** Waits until a connection waits for a lock. */
const untilItWaits = (pid: number) =>
  until(async () => {
    const [state] = await sql`select wait_event_type from pg_stat_activity where pid = ${pid}`;
    return state?.wait_event_type === "Lock";
  });

/** Repeats each of `jobs` until `work` is done; a failure of any is the outcome. */
async function during(work: Promise<unknown>, jobs: (() => Promise<unknown>)[]): Promise<void> {
  let isDone = false;
  const repeated = jobs.map(async (job) => {
    while (!isDone) await job();
  });
  try {
    await Promise.race([work, Promise.all(repeated)]);
  } finally {
    isDone = true;
  }
  await Promise.all(repeated);
}

/** That the roll-ups of some tenants are those of their events, and stay so when they are counted anew. */
async function expectExact(tenantIds: string[]): Promise<void> {
  await aggregate(sql);
  expect(await pendingBatches(sql, tenantIds)).toBe(0);
  const expected = countPeriods(await storedEvents(sql, tenantIds), []);
  const actual = await storedPeriods(sql, tenantIds);
  expect(new Map([...actual].map(([key, { period }]) => [key, period]))).toEqual(
    new Map([...expected].map(([key, { period }]) => [key, period])),
  );
  const stored = await storedRollups(sql, tenantIds);
  await recompute(sql);
  expect(await storedRollups(sql, tenantIds)).toEqual(stored);
}

test("a pass neither waits for writers that are open nor forgets them, however they interleave", async () => {
  const writers = await connectAll(3);
  type Step = { do: "record" | "commit" | "rollback" | "pass" | "recompute"; writer: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom("record", "record", "commit", "rollback"),
        writer: fc.nat({ max: writers.length - 1 }),
      }),
    },
    { weight: 4, arbitrary: fc.constant<Step>({ do: "pass", writer: 0 }) },
    { weight: 1, arbitrary: fc.constant<Step>({ do: "recompute", writer: 0 }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 20, size: "max" }), async (steps) => {
      const tenantId = await newTenant(sql);
      const open = writers.map(() => 0);
      let committed = 0;
      let seen = 0;
      const end = async (writer: number, how: "commit" | "rollback") => {
        if (how === "commit") committed += open[writer] as number;
        await (writers[writer] as Sql).unsafe(how);
        open[writer] = 0;
      };
      try {
        for (const step of steps) {
          if (step.do === "pass") {
            expect(await aggregate(sql)).toBe(committed - seen);
            seen = committed;
          } else if (step.do === "recompute") {
            await recompute(sql);
          } else if (step.do === "record") {
            if (open[step.writer] === 0) await (writers[step.writer] as Sql)`begin`;
            await record(writers[step.writer] as Sql, tenantId, events(3));
            open[step.writer] = (open[step.writer] as number) + 3;
          } else if (open[step.writer] !== 0) {
            await end(step.writer, step.do);
          }
          expect(await counted(tenantId)).toEqual({ events: seen, tokens: seen });
        }
      } finally {
        for (const writer of writers.keys()) if (open[writer] !== 0) await end(writer, "commit");
      }
      await aggregate(sql);
      expect(await counted(tenantId)).toEqual({ events: committed, tokens: committed });
    }),
    { ...ONCE, numRuns: scaled(30, 200) },
  );
}, 300_000);

test("passes take turns: the second waits for the first, and finds nothing left", async () => {
  const [first, second] = (await connectAll(2)) as [Sql, Sql];
  const tenantId = await newTenant(sql);
  await record(sql, tenantId, events(5));
  const pid = await pidOf(second);
  await first`begin`;
  expect(await aggregate(first)).toBe(5);
  const waiting = aggregate(second);
  await untilItWaits(pid);
  const late = await record(sql, tenantId, events(2)); // nobody who records waits for a pass
  expect(late.accepted).toBe(2);
  await first`commit`;
  expect(await waiting).toBe(2);
  expect(await counted(tenantId)).toEqual({ events: 7, tokens: 7 });

  // One that is undone leaves everything to the next.
  await record(sql, tenantId, events(4));
  await first`begin`;
  expect(await aggregate(first)).toBe(4);
  await first`rollback`;
  expect(await aggregate(second)).toBe(4);
  expect(await counted(tenantId)).toEqual({ events: 11, tokens: 11 });
});

test("passes beside recomputations and writers lose and double nothing", async () => {
  const writers = await connectAll(3);
  const [passer, second, recomputer] = (await connectAll(3)) as [Sql, Sql, Sql];
  const tenantIds = [await newTenant(sql), await newTenant(sql)];
  const writing = Promise.all(
    writers.map(async (writer) => {
      for (let batch = 0; batch < scaled(40, 300); batch++) {
        const fields = {
          event_timestamp: ago((batch % 4) * DAY),
          event_type: "chat_message",
          api_response_time_ms: batch,
          metadata: { session_id: `${batch % 7}` },
        };
        await record(writer, tenantIds[batch % 2] as string, events(1 + (batch % 9), fields));
      }
    }),
  );
  await during(writing, [() => aggregate(passer), () => aggregate(second), () => recompute(recomputer)]);
  await expectExact(tenantIds);
}, 120_000);

test("a tenant whose deletion is open is left alone, and is counted when it stays", async () => {
  const deleter = (await connectAll(1))[0] as Sql;
  const deletions = [
    { statement: "delete from public.tenants where id = $1", ends: "commit", left: 0 },
    { statement: "delete from public.tenants where id = $1", ends: "rollback", left: 3 },
    // It has the tenant, and comes to what refers to it next.
    { statement: "select from public.tenants where id = $1 for update", ends: "rollback", left: 3 },
  ];
  for (const { statement, ends, left } of deletions) {
    const [doomed, other] = [await newTenant(sql), await newTenant(sql)];
    await record(sql, doomed, events(3));
    await record(sql, other, events(2));
    await deleter`begin`;
    await deleter.unsafe(statement, [doomed]);
    expect(await aggregate(sql)).toBe(2);
    expect(await counted(other)).toEqual({ events: 2, tokens: 2 });
    await deleter.unsafe(ends);
    expect(await aggregate(sql)).toBe(left);
    expect((await counted(doomed)).events).toBe(left);
  }
});

test("a deletion waits for a pass that counts the tenant, and leaves nothing of it", async () => {
  const [passer, deleter] = (await connectAll(2)) as [Sql, Sql];
  const tenantId = await newTenant(sql);
  await record(sql, tenantId, events(3));
  const pid = await pidOf(deleter);
  await passer`begin`;
  expect(await aggregate(passer)).toBe(3);
  const deletion = deleter`delete from public.tenants where id = ${tenantId}`.execute();
  await untilItWaits(pid);
  await passer`commit`;
  await deletion;
  expect(await storedRollups(sql, [tenantId])).toEqual({ metrics: [], quantities: [], counts: [] });
  expect(await pendingBatches(sql, [tenantId])).toBe(0);
});

test("passes, recomputations and snapshots go on while tenants come, record and go", async () => {
  const workers = await connectAll(4);
  const [passer, second, recomputer, gauger] = (await connectAll(4)) as [Sql, Sql, Sql, Sql];
  const stays = await newTenant(sql);
  const working = Promise.all(
    workers.map(async (worker, index) => {
      for (let round = 0; round < scaled(40, 400); round++) {
        const tenantId = await newTenant(worker);
        await record(worker, tenantId, events(3));
        await record(worker, stays, events(2));
        if ((round + index) % 3 > 0) await worker`delete from public.tenants where id = ${tenantId}`;
      }
    }),
  );
  await during(working, [
    () => aggregate(passer),
    () => aggregate(second),
    () => recompute(recomputer),
    () => gauger`select private.snapshot_gauges()`,
  ]);
  await expectExact([stays]);
}, 120_000);

test("writers of overlapping batches in any order never wait in a circle, with passes and retention beside them", async () => {
  const writers = await connectAll(4);
  const [passer, retention] = (await connectAll(2)) as [Sql, Sql];
  const tenantIds = [await newTenant(sql), await newTenant(sql)];
  const pool = Array.from(
    { length: scaled(1_500, 10_000) },
    (_, i): SentEvent => ({
      event_id: `event-${i}`,
      event_type: "api_call",
      event_timestamp: ago((i % 5) * DAY + i),
      tokens_consumed: i,
    }),
  );
  const writing = Promise.all(
    writers.map(async (writer) => {
      for (let round = 0; round < scaled(25, 150); round++) {
        const from = Math.floor(Math.random() * pool.length);
        const batch = pool.slice(from, from + 300).sort(() => Math.random() - 0.5);
        const answer = await record(writer, tenantIds[round % 2] as string, batch);
        expect(answer.accepted + answer.duplicates).toBe(batch.length);
      }
    }),
  );
  await during(writing, [
    () => aggregate(passer),
    () => retention`select public.cleanup_old_realtime_events()`.execute(),
  ]);
  await expectExact(tenantIds);
}, 180_000);

test("whoever reads during passes never sees less than before, nor an event twice", async () => {
  const [writer, passer, second] = (await connectAll(3)) as [Sql, Sql, Sql];
  const readers = await connectAll(2);
  const tenantId = await newTenant(sql);
  let sent = 0;
  let acknowledged = 0;
  const writing = (async () => {
    for (let batch = 0; batch < scaled(150, 2_000); batch++) {
      sent += 2;
      await record(writer, tenantId, events(2, { event_timestamp: ago((batch % 3) * DAY) }));
      acknowledged += 2;
    }
  })();
  let reads = 0;
  const reading = readers.map((reader, index) => {
    const type = index === 0 ? "daily" : "monthly";
    let last = 0;
    return async () => {
      const least = Math.max(last, acknowledged);
      const [total] = await reader`
        select coalesce(sum(u.total_tokens_used), 0)::int as tokens
        from public.get_tenant_usage(${tenantId}, now() - interval '31 days', now() + interval '1 day', ${type}) u`;
      expect(total?.tokens).toBeGreaterThanOrEqual(least);
      expect(total?.tokens).toBeLessThanOrEqual(sent);
      last = total?.tokens;
      reads++;
    };
  });
  await during(writing, [...reading, () => aggregate(passer), () => aggregate(second)]);
  expect(reads).toBeGreaterThan(20);
  await aggregate(sql);
  expect((await counted(tenantId)).tokens).toBe(sent);
}, 180_000);

test("retention goes on beside a vacuum of a day that it keeps", async () => {
  const vacuum = (await connectAll(1))[0] as Sql;
  await record(sql, await newTenant(sql), [...events(1), ...events(1, { event_timestamp: ago(9 * DAY) })]);
  const [today] = await sql<[{ name: string }]>`
    select tableoid::regclass::text as name from tenant_usage_realtime where event_timestamp > now() - interval '1 hour' limit 1`;
  await vacuum`begin`;
  await vacuum.unsafe(`lock table ${today.name} in share update exclusive mode`);
  const [answer] = await sql`select private.cleanup_old_realtime_events('8 days') as dropped`;
  expect(answer?.dropped).toBeGreaterThan(0);
  await vacuum`rollback`;
});

test("retention beside writers refuses nobody, and what it drops was counted", async () => {
  const writers = await connectAll(4);
  const [retention, passer] = (await connectAll(2)) as [Sql, Sql];
  const tenantId = await newTenant(sql);
  const recorded = new Map<string, number>();
  let dropped = 0;
  const writing = Promise.all(
    writers.map(async (writer, index) => {
      for (let batch = 0; batch < scaled(60, 600) || dropped < 12; batch++) {
        // Days that stay and, now and then, days that are dropped and come again: a drop waits for a moment without these.
        const at = ago(((batch * 7 + index) % (batch % 40 < 10 ? 20 : 10)) * DAY);
        const { accepted, rejected } = await record(writer, tenantId, events(5, { event_timestamp: at }));
        expect({ accepted, rejected }).toEqual({ accepted: 5, rejected: [] });
        recorded.set(at.slice(0, 10), (recorded.get(at.slice(0, 10)) ?? 0) + 5);
      }
    }),
  );
  const clean = async () => {
    const [answer] =
      await retention`select public.cleanup_old_realtime_events(interval '10 days') as dropped`;
    dropped += answer?.dropped;
  };
  await during(writing, [clean, () => aggregate(passer)]);
  await clean();
  const [oldest] = await sql`
    select min(event_timestamp) > now() - interval '12 days' as is_young from public.tenant_usage_realtime`;
  expect(oldest?.is_young).toBe(true);

  const days = () => sql<{ day: string; events: number; tokens: number }[]>`
    select to_char(r.period_start at time zone 'UTC', 'YYYY-MM-DD') as day, (r.counts).events::int,
      m.total_tokens_used::int as tokens
    from private.usage_rollups r
    join public.tenant_usage_metrics m using (tenant_id, period_type, period_start)
    where r.tenant_id = ${tenantId} and r.period_type = 'daily' order by 1`;
  const expected = [...recorded].sort().map(([day, events]) => ({ day, events, tokens: events }));
  expect([...(await days())]).toEqual(expected);
  await recompute(sql); // of the days that are there; the others stay as they are
  expect([...(await days())]).toEqual(expected);
}, 180_000);

test("a pass counts the events of a day whose partition was made while it ran", async () => {
  const [maker, passer, holder] = (await connectAll(3)) as [Sql, Sql, Sql];
  const [early, late] = [await newTenant(sql), await newTenant(sql)];
  await sql`
    create function private.wait_for_holder() returns trigger language plpgsql
    as 'begin perform pg_advisory_xact_lock_shared(1); return null; end'`;
  await sql`
    create trigger wait_for_holder after delete on private.usage_batches
    execute function private.wait_for_holder()`;

  // Its plans are made, and all it looks up is remembered: nothing else makes it notice a new partition.
  for (let pass = 0; pass < 12; pass++) {
    await record(sql, early, events(1));
    await aggregate(passer);
  }

  // A pass waits for the holder between its first look for batches and its second.
  await holder`select pg_advisory_lock(1)`;

  // The maker's batch has an id that the pass looks for, and is committed after its first look.
  await maker`begin`;
  await record(maker, late, events(3, { event_timestamp: ago(17 * DAY) }));
  await record(sql, early, events(2));
  const pid = await pidOf(passer);
  const passing = aggregate(passer);
  await untilItWaits(pid);
  await maker`commit`;
  await holder`select pg_advisory_unlock(1)`;

  expect(await passing).toBe(5);
  expect(await counted(early)).toEqual({ events: 14, tokens: 14 });
  expect(await counted(late)).toEqual({ events: 3, tokens: 3 });
  await sql`drop function private.wait_for_holder cascade`;
});
