import { readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { Client } from "../helpers/connections.ts";
import { tenantWithLimits, usedOf } from "../helpers/ledger.ts";
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
  type StoredEvent,
  storedEvents,
  storedPeriods,
  storedRollups,
} from "../helpers/usage.ts";

const WRITERS = 6;
const KILLS = scaled(2, 10);

let database: Database;
let clients: Client[];

beforeAll(async () => {
  database = await startDatabase({ flush: true, restarts: true });
  clients = [];
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()));
  await database?.stop();
});

function connect(): Client {
  const client = new Client(database.databaseUrl);
  clients.push(client);
  return client;
}

const postmaster = async () =>
  Number((await readFile(join(database.dataDir as string, "postmaster.pid"), "utf8")).split("\n")[0]);

/** Kills it, and waits until it is there again. */
async function killServer(observer: Client): Promise<void> {
  const startedAt = () =>
    observer.attempt(
      async (sql) => (await sql`select pg_postmaster_start_time()::text as at`)[0]?.at as string,
    );
  const before = await startedAt();
  process.kill(await postmaster(), "SIGKILL");
  await until(async () => ((await startedAt()) ?? before) !== before, 60_000);
}

test("a server that is killed under load loses nothing that it acknowledged, and counts nothing twice", async () => {
  const observer = connect();
  const tenantIds = (await observer.attempt((sql) =>
    Promise.all([newTenant(sql), newTenant(sql), newTenant(sql)]),
  )) as string[];
  let isStopping = false;
  const acknowledged: { tenantId: string; sent: SentEvent[]; accepted: number; attempts: number }[] = [];
  let passes = 0;

  const writer = async (_: unknown, index: number) => {
    const client = connect();
    for (let batch = 0; !isStopping; batch++) {
      const tenantId = tenantIds[batch % tenantIds.length] as string;
      const sent = Array.from(
        { length: 40 },
        (_, i): SentEvent => ({
          event_id: `writer-${index}-${batch}-${i}`,
          event_type: i % 4 === 0 ? "chat_message" : "embedding",
          event_timestamp: ago(((i * batch) % 7) * DAY + i * 300),
          tokens_consumed: i + batch,
          api_response_time_ms: (i * 37 + batch) % 1_000,
          api_status_code: i % 9 === 0 ? 500 : 200,
          metadata: { session_id: `session-${(batch * i) % 11}` },
        }),
      );
      // The same batch until it is acknowledged: whether one that failed was recorded, its sender cannot know.
      for (let attempts = 1; ; attempts++) {
        const answer = await client.attempt((sql) => record(sql, tenantId, sent));
        if (!answer) continue;
        expect(answer.accepted + answer.duplicates).toBe(sent.length);
        acknowledged.push({ tenantId, sent, accepted: answer.accepted, attempts });
        break;
      }
    }
    return client.lost;
  };
  const passer = async () => {
    const client = connect();
    while (!isStopping) if ((await client.attempt(aggregate)) !== undefined) passes++;
    return client.lost;
  };
  const load = Promise.all([...Array.from({ length: WRITERS }, writer), passer()]);
  load.catch(() => {}); // awaited below

  for (let kill = 0; kill < KILLS; kill++) {
    const progress = [acknowledged.length, passes] as const;
    await Promise.race([
      load,
      until(() => acknowledged.length > progress[0] + 2 * WRITERS && passes > progress[1] + 1, 60_000),
    ]);
    await killServer(observer);
  }
  isStopping = true;
  const lost = await load;
  expect(lost.every((count) => count >= KILLS)).toBe(true);

  const control = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  // Everything that was acknowledged is there, and nothing is there twice.
  const events = await storedEvents(control, tenantIds);
  const found = events.map((event) => `${event.tenant_id} ${event.event_id}`);
  const sent = acknowledged.flatMap((batch) =>
    batch.sent.map((event) => `${batch.tenantId} ${event.event_id}`),
  );
  expect(new Set(found).size).toBe(found.length);
  expect(found.sort()).toEqual(sent.sort());
  const [keys] = await control`select count(*)::int as count from private.usage_event_keys`;
  expect(keys?.count).toBe(found.length);
  // A batch is recorded whole or not at all; one that came again after its answer was lost was a duplicate as a whole.
  for (const { accepted, sent: batch, attempts } of acknowledged) {
    if (attempts === 1) expect(accepted).toBe(batch.length);
    else expect([0, batch.length]).toContain(accepted);
  }

  // The roll-ups say what the events say, and counting anew changes nothing.
  await aggregate(control);
  expect(await pendingBatches(control, tenantIds)).toBe(0);
  const expected = countPeriods(events, []);
  const actual = await storedPeriods(control, tenantIds);
  expect(new Map([...actual].map(([key, { period }]) => [key, period]))).toEqual(
    new Map([...expected].map(([key, { period }]) => [key, period])),
  );
  const stored = await storedRollups(control, tenantIds);
  await recompute(control);
  expect(await storedRollups(control, tenantIds)).toEqual(stored);
  await control.end();
}, 600_000);

test("whatever reservations were open when the server was killed, what is used is what was recorded once they are swept", async () => {
  const observer = connect();
  const STEP = 20;
  const tenantId = await observer.insist((sql) =>
    tenantWithLimits(sql, [
      { metric: "tokens", limit: 1e9 },
      { metric: "tokens", limit: 1e9, per: "subject" },
    ]),
  );
  let isStopping = false;
  /** By event id: what was settled for certain, or else what was spent at least. */
  const settled = new Map<string, number>();
  const spent = new Map<string, number>();
  let sweeps = 0;

  /** Answers as long as a model would; nobody hears of it again when the server goes away. */
  const streamer = async (_: unknown, index: number) => {
    const client = connect();
    for (let stream = 0; !isStopping; stream++) {
      const event_id = `stream-${index}-${stream}`;
      const event = { event_id, event_type: "chat_message" };
      const isShort = stream % 3 === 0; // so that sweeps meet the load, and the kills
      const [held] =
        (await client.attempt(
          (sql) => sql`
            select reservation_id as id from public.reserve_quota(
              ${tenantId}, 'tokens', ${STEP}, ${`user-${index}`}, ${isShort ? 1 : 600}, null, ${sql.json(event)})`,
        )) ?? [];
      for (let step = 1; held && step <= stream % 5; step++) {
        const extended = await client.attempt((sql) =>
          sql`select allowed from public.extend_reservation(${held.id}, ${STEP})`.catch(ifExpired),
        );
        if (!extended?.[0]?.allowed) break;
        spent.set(event_id, step * STEP);
      }
      if (!held || stream % 4 === 0) continue; // left open
      const actual = (spent.get(event_id) ?? 0) + 7;
      const [answer] =
        (await client.attempt((sql) =>
          sql`select allowed from public.settle_reservation(${held.id}, ${actual})`.catch(ifExpired),
        )) ?? [];
      if (answer?.allowed) settled.set(event_id, actual);
    }
  };
  const sweeper = async () => {
    const client = connect();
    while (!isStopping) {
      if (await client.attempt((sql) => sql`select private.expire_reservations()`)) sweeps++;
    }
  };
  const load = Promise.all([...Array.from({ length: WRITERS }, streamer), sweeper()]);
  load.catch(() => {}); // awaited below
  for (let kill = 0; kill < KILLS; kill++) {
    const progress = [settled.size, sweeps] as const;
    await Promise.race([
      load,
      until(() => settled.size > progress[0] + 4 * WRITERS && sweeps > progress[1] + 1, 60_000),
    ]);
    await killServer(observer);
  }
  isStopping = true;
  await load;

  const control = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  const openNow = async () => {
    const [open] = await control`
      select count(*)::int as count from private.quota_reservations where tenant_id = ${tenantId} and status = 'open'`;
    return open?.count as number;
  };
  expect(await openNow()).toBeGreaterThan(0);
  await control`update public.tenants set clock_offset = '1 hour' where id = ${tenantId}`;
  for (let open = await openNow(); open > 0; open = await openNow()) {
    await control`select private.expire_reservations()`;
    expect(await openNow()).toBeLessThan(open);
  }
  const events = await storedEvents(control, [tenantId]);
  const tokensOf = new Map(events.map((event) => [event.event_id, Number(event.tokens_consumed)]));
  expect(tokensOf.size).toBe(events.length);
  for (const [id, amount] of settled) expect([id, tokensOf.get(id)]).toEqual([id, amount]);
  for (const [id, amount] of spent) expect(tokensOf.get(id)).toBeGreaterThanOrEqual(amount);
  const total = (some: readonly StoredEvent[]) =>
    some.reduce((sum, event) => sum + Number(event.tokens_consumed), 0);
  expect(await usedOf(control, tenantId, "tokens")).toBe(total(events));
  for (let index = 0; index < WRITERS; index++) {
    const subject = `user-${index}`;
    expect(await usedOf(control, tenantId, "tokens", subject)).toBe(
      total(events.filter((event) => event.event_id.startsWith(`stream-${index}-`))),
    );
  }
  await control.end();
}, 600_000);

/** The sweep was first. */
function ifExpired(error: { hint?: string }): [] {
  if (error.hint === "reservation_expired") return [];
  throw error;
}
