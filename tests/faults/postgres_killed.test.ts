import { readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
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

/** A client with one connection, and a new one after each failure: the driver's own may stay silent after a lost one. */
class Client {
  #sql = this.#connect();
  lost = 0;

  constructor() {
    clients.push(this);
  }

  /** The result, or undefined when the server went away meanwhile or was not there. */
  async attempt<T>(work: (sql: Sql) => Promise<T>): Promise<T | undefined> {
    try {
      return await work(this.#sql);
    } catch (error) {
      if (!isLost(error)) throw error;
      this.lost++;
      await this.end();
      await new Promise((resolve) => setTimeout(resolve, 20)); // a server that starts needs the processor as well
      this.#sql = this.#connect();
      return undefined;
    }
  }

  end(): Promise<void> {
    return this.#sql.end({ timeout: 0 });
  }

  #connect(): Sql {
    return postgres(database.databaseUrl, { max: 1, connect_timeout: 5, onnotice: () => {} });
  }
}

const postmaster = async () =>
  Number((await readFile(join(database.dataDir as string, "postmaster.pid"), "utf8")).split("\n")[0]);

test("a server that is killed under load loses nothing that it acknowledged, and counts nothing twice", async () => {
  const observer = new Client();
  const tenantIds = (await observer.attempt((sql) =>
    Promise.all([newTenant(sql), newTenant(sql), newTenant(sql)]),
  )) as string[];
  let isStopping = false;
  const acknowledged: { tenantId: string; sent: SentEvent[]; accepted: number; attempts: number }[] = [];
  let passes = 0;

  const writer = async (_: unknown, index: number) => {
    const client = new Client();
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
    const client = new Client();
    while (!isStopping) if ((await client.attempt(aggregate)) !== undefined) passes++;
    return client.lost;
  };
  const load = Promise.all([...Array.from({ length: WRITERS }, writer), passer()]);
  load.catch(() => {}); // awaited below

  const startedAt = () =>
    observer.attempt(
      async (sql) => (await sql`select pg_postmaster_start_time()::text as at`)[0]?.at as string,
    );
  for (let kill = 0; kill < KILLS; kill++) {
    const progress = [acknowledged.length, passes] as const;
    await Promise.race([
      load,
      until(() => acknowledged.length > progress[0] + 2 * WRITERS && passes > progress[1] + 1, 60_000),
    ]);
    const before = await startedAt();
    process.kill(await postmaster(), "SIGKILL");
    await until(async () => ((await startedAt()) ?? before) !== before, 60_000);
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

/** Whether a query failed because its server went away, or is not there yet. */
function isLost(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const lost = ["CONNECTION_CLOSED", "CONNECTION_ENDED", "CONNECTION_DESTROYED", "CONNECT_TIMEOUT"];
  // 57P01 to 57P05: shutting down, crashed, starting up; 08: connections; the rest is the system's.
  return /^(57P0\d|08...|E[A-Z]+)$/.test(code) || lost.includes(code);
}
