import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { startPostgres } from "../../scripts/stack/postgres.ts";
import { run } from "../../scripts/stack/process.ts";
import { scaled } from "../helpers/scale.ts";
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

const BIN = "/usr/lib/postgresql/15/bin";

let source: Database;
let target: Database;
let folder: string;
const connections: Sql[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "meterbase-dump-"));
  source = await startDatabase({ postgres: "system" });
  target = await startPostgres("system");
});
afterAll(async () => {
  await Promise.all(connections.map((sql) => sql.end()));
  await source?.stop();
  await target?.stop();
  await rm(folder, { recursive: true, force: true });
});

function connect(databaseUrl: string): Sql {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  connections.push(sql);
  return sql;
}

/** Roles are the cluster's: no dump of a database holds them. They are all of the platform that is not in it. */
async function makeRoles(sql: Sql): Promise<void> {
  const platform = await readFile(new URL("../../scripts/stack/platform.sql", import.meta.url), "utf8");
  const [roles] = platform.split("create schema");
  await sql.unsafe(roles as string);
}

/** What the tables hold that a pass or a record adds to, and where the sequence of the batches stands. */
const contents = async (sql: Sql) => {
  const [counts] = await sql`
    select
      (select count(*)::int from public.tenant_usage_realtime) as events,
      (select count(*)::int from private.usage_event_keys) as keys,
      (select count(*)::int from private.usage_batches) as batches,
      (select count(*)::int from private.chat_sessions) as sessions,
      (select count(*)::int from public.quota_decisions) as denials,
      (select count(*)::int from private.usage_partitions()) as partitions,
      (select array_agg(jobname || ' ' || schedule order by jobname) from cron.job) as jobs`;
  return counts;
};

let serial = 0;
const batch = (count: number): SentEvent[] =>
  Array.from({ length: count }, () => {
    const i = serial++;
    return {
      event_id: `event-${i}`,
      event_type: i % 3 === 0 ? "chat_message" : "embedding",
      event_timestamp: ago((i % 6) * DAY + (i % 50) * 100),
      tokens_consumed: i,
      api_response_time_ms: i % 400,
      api_status_code: i % 7 === 0 ? 429 : 200,
      metadata: { session_id: `session-${i % 13}` },
    };
  });

async function expectExact(sql: Sql, tenantIds: string[]): Promise<void> {
  const denials = await sql<{ tenant_id: string; created_at: Date }[]>`
    select tenant_id, created_at from public.quota_decisions where not allowed`;
  const expected = countPeriods(await storedEvents(sql, tenantIds), denials);
  const actual = await storedPeriods(sql, tenantIds);
  expect(new Map([...actual].map(([key, { period }]) => [key, period]))).toEqual(
    new Map([...expected].map(([key, { period }]) => [key, period])),
  );
  const stored = await storedRollups(sql, tenantIds);
  await recompute(sql);
  expect(await storedRollups(sql, tenantIds)).toEqual(stored);
}

test("a dump that is restored counts on from where it was, exactly", async () => {
  const from = connect(source.databaseUrl);
  const to = connect(target.databaseUrl);
  // By hand alone, so that what is pending stays so; the jobs are restored, and rest there as well.
  await from`select cron.alter_job(jobid, active := false) from cron.job`;

  const tenantIds = [await newTenant(from), await newTenant(from)] as [string, string];
  const sent = new Map<string, SentEvent[]>(tenantIds.map((id) => [id, []]));
  const send = async (sql: Sql, tenantId: string, events: SentEvent[]) => {
    const answer = await record(sql, tenantId, events);
    sent.get(tenantId)?.push(...events);
    return answer;
  };
  for (let i = 0; i < scaled(30, 300); i++) {
    await send(from, tenantIds[i % 2] as string, batch(1 + (i % 20)));
    if (i % 5 === 0) await aggregate(from);
  }
  await from`select public.consume_quota(${tenantIds[0]}, 'tokens', 1000000000)`;
  await from`create table public."the papers" (id int primary key, tenant_id uuid)`;
  await from`select meter.attach('public."the papers"', 'workflows')`;
  await from`insert into public."the papers" values (1, ${tenantIds[0]}), (2, ${tenantIds[0]})`;
  await aggregate(from);
  for (let i = 0; i < 4; i++) await send(from, tenantIds[i % 2] as string, batch(10));
  expect(await pendingBatches(from, tenantIds)).toBe(4);
  const recorded = serial;

  // While somebody records: a dump is of one moment, whatever happens beside it.
  const writer = connect(source.databaseUrl);
  const busyTenant = await newTenant(from);
  const dump = join(folder, "dump.sql");
  let isDumping = true;
  const writing = (async () => {
    while (isDumping) await record(writer, busyTenant, batch(3));
  })();
  await run(join(BIN, "pg_dump"), ["--file", dump, source.databaseUrl]).finally(() => {
    isDumping = false;
  });
  await writing;
  const atSource = await contents(from);
  const rollupsAtSource = await storedRollups(from, tenantIds);

  await makeRoles(to);
  const restore = ["--quiet", "--no-psqlrc", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-f", dump];
  await run(join(BIN, "psql"), [...restore, target.databaseUrl]);

  // What was there is there.
  const restored = await contents(to);
  expect(restored?.jobs).toEqual(atSource?.jobs);
  expect(restored?.partitions).toBe(atSource?.partitions);
  expect(restored?.denials).toBe(1);
  expect(restored?.events).toBe(restored?.keys);
  expect(await pendingBatches(to, tenantIds)).toBe(4);
  expect(await storedRollups(to, tenantIds)).toEqual(rollupsAtSource);

  // A metered table is metered, and what it holds is counted once.
  const papers = async () => {
    const [counter] = await to`
      select used::int from private.quota_counters
      where tenant_id = ${tenantIds[0]} and metric = 'workflows' and period = 'none' and subject = ''`;
    return counter?.used;
  };
  expect(await papers()).toBe(2);
  await to`insert into public."the papers" values (3, ${tenantIds[0]})`;
  await to`delete from public."the papers" where id < 3`;
  expect(await papers()).toBe(1);
  await to`select meter.detach('public."the papers"', 'workflows')`;
  expect(await papers()).toBe(0);

  // What is sent again is known, and what is new is counted, beside what was pending.
  for (const tenantId of tenantIds) {
    const known = (sent.get(tenantId) as SentEvent[]).slice(-40);
    const later = known.map((event) => ({ ...event, event_timestamp: ago(0), tokens_consumed: 7 }));
    expect(await record(to, tenantId, [...later, ...batch(5)])).toMatchObject({
      accepted: 5,
      duplicates: 40,
    });
  }
  const newcomer = await newTenant(to);
  await record(to, newcomer, batch(30));
  const [ids] = await to`
    select count(*)::int as batches, count(distinct batch_id)::int as ids,
      min(batch_id) filter (where tenant_id = ${newcomer}) > max(batch_id) filter (where tenant_id <> ${newcomer}) as is_newest,
      min(batch_id) filter (where tenant_id = ${newcomer})
        > (select max(e.batch_id) from public.tenant_usage_realtime e where e.tenant_id <> ${newcomer}) as is_unused
    from private.usage_batches`;
  expect(ids).toMatchObject({ is_newest: true, is_unused: true });
  expect(ids?.ids).toBe(ids?.batches);
  await aggregate(to);
  const everyone = [...tenantIds, busyTenant, newcomer];
  expect(await pendingBatches(to, everyone)).toBe(0);
  const [total] = await to`
    select count(*)::int as events from public.tenant_usage_realtime where tenant_id = any (${tenantIds})`;
  expect(total?.events).toBe(recorded + 10);
  await expectExact(to, everyone);

  // Days: those that are missing are made, each once, and old ones go.
  await to`select private.ensure_usage_partitions(0, 12)`;
  const [ahead] =
    await to`select count(*)::int as days from private.usage_partitions() where starts_at > now()`;
  expect(ahead?.days).toBe(12);
  const before = await contents(to);
  const late = batch(4).map((event) => ({ ...event, event_timestamp: ago(20 * DAY) }));
  expect(await record(to, newcomer, late)).toMatchObject({ accepted: 4 });
  expect((await contents(to))?.partitions).toBe((before?.partitions as number) + 1);
  const [retention] = await to`select public.cleanup_old_realtime_events(interval '10 days') as dropped`;
  expect(retention?.dropped).toBe(1);
  const [kept] = await to`
    select sum((counts).events)::int as events from private.usage_rollups
    where tenant_id = ${newcomer} and period_type = 'hourly'`;
  expect(kept?.events).toBe(34);
}, 180_000);
