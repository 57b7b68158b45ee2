import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { projectRoot } from "../../scripts/stack/migrate.ts";
import type { Server } from "../../scripts/stack/server.ts";
import { startWebhookSink } from "../../scripts/stack/stand_ins/webhook_sink.ts";
import { drain } from "../../supabase/functions/deliver-alerts/worker.ts";
import { Client } from "../helpers/connections.ts";
import { deliveryOf } from "../helpers/delivery.ts";
import { scaled } from "../helpers/scale.ts";
import type { SunkRequest } from "../helpers/sink.ts";
import { until } from "../helpers/until.ts";

const LEASE_SECONDS = 2;
const PRODUCERS = 4;
const CHANNELS = 4;
const FAULTS = scaled(3, 12);
/** As many messages are delivered between one fault and the next. */
const STEP = 60;

let database: Database;
let sink: Server;
let observer: Client;
let channelIds: string[];
let clients: Client[];
let workers: ChildProcess[];

beforeEach(async () => {
  [clients, workers] = [[], []];
  database = await startDatabase({ flush: true, restarts: true });
  sink = await startWebhookSink();
  observer = connect();
  channelIds = [];
  for (let n = 0; n < CHANNELS; n++) {
    const made = await observer.insist(
      (sql) => sql`
        insert into public.alert_channels (type, name, config)
        values ('webhook', 'Hook', ${sql.json({ url: `${sink.url}/hook/${n}` })}) returning id`,
    );
    channelIds.push(made[0]?.id);
    // Long enough for a fault to come in between.
    await fetch(`${sink.url}/_responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ path: `/hook/${n}`, delay_ms: 100 }),
    });
  }
});
afterEach(async () => {
  for (const child of workers) child.kill("SIGKILL");
  await Promise.all(clients.map((client) => client.end()));
  await sink?.stop();
  await database?.stop();
});

function connect(name?: string): Client {
  const client = new Client(database.databaseUrl, name);
  clients.push(client);
  return client;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

/** What the receiver got, by the message's id: each body once. */
async function received(): Promise<Map<string, Set<string>>> {
  const requests = (await (await fetch(`${sink.url}/requests`)).json()) as SunkRequest[];
  const bodies = new Map<string, Set<string>>();
  for (const { headers, body } of requests) {
    const id = headers["webhook-id"] as string;
    bodies.set(id, (bodies.get(id) ?? new Set()).add(body));
  }
  return bodies;
}

interface Messages {
  /** Whose commit was answered. */
  committed: Set<string>;
  /** That were taken back, or were to be when the connection was lost. */
  rolledBack: Set<string>;
  /** How many have arrived, as far as is known. */
  arrived: number;
}

/** Puts messages into the outbox, half of which are taken back, until it is stopped. */
async function produce(messages: Messages, isStopping: () => boolean): Promise<void> {
  const { committed, rolledBack } = messages;
  const client = connect("producer");
  for (let n = 0; !isStopping(); n++) {
    // No more than some seconds' work ahead of those who deliver.
    while (committed.size > messages.arrived + 5 * STEP && !isStopping()) await pause();
    const id = randomUUID();
    const channelId = channelIds[n % CHANNELS] as string;
    const alert = {
      id,
      type: "system_error",
      severity: "low",
      title: `Message ${id}`,
      message: "M",
      opened_at: "2026-01-01T00:00:00Z",
    };
    const isKept = n % 2 === 0;
    if (!isKept) rolledBack.add(id);
    const done = await client.attempt(async (sql) => {
      await sql`begin`;
      await sql`
        insert into public.alert_notifications (id, channel_id, kind, lane, payload)
        values (${id}, ${channelId}, 'alert', ${channelId}, ${sql.json({ event: "opened", alert })})`;
      await (isKept ? sql`commit` : sql`rollback`);
      return true;
    });
    if (done && isKept) committed.add(id);
  }
}

/** What somebody has had for longer than its lease and five seconds, of which the server was there. */
const stuck = () =>
  observer.attempt(
    (sql) => sql`
      select id, locked_until from public.alert_notifications
      where status = 'sending' and greatest(locked_until, pg_postmaster_start_time()) < now() - interval '5 seconds'`,
  );

/** Delivers in this process until it is stopped. */
async function deliverHere(isStopping: () => boolean): Promise<void> {
  const delivery = deliveryOf(database.databaseUrl, LEASE_SECONDS);
  while (!isStopping()) await drain(delivery, 1_000);
  await delivery.end();
}

async function startWorker(): Promise<ChildProcess> {
  const args = [
    "--import",
    "tsx",
    "tests/helpers/delivery_worker.ts",
    database.databaseUrl,
    String(LEASE_SECONDS),
  ];
  const child = spawn(process.execPath, args, { cwd: projectRoot, stdio: ["ignore", "pipe", "inherit"] });
  workers.push(child);
  await once(child.stdout as NonNullable<ChildProcess["stdout"]>, "data");
  return child;
}

interface Fault {
  /** Two workers, and how to wait for their end. */
  start: (isStopping: () => boolean) => Promise<() => Promise<unknown>>;
  strike: () => Promise<void>;
}

const here = async (isStopping: () => boolean) => {
  const running = Promise.all([deliverHere(isStopping), deliverHere(isStopping)]);
  running.catch(() => {}); // awaited at the end
  return () => running;
};

const FAULTY: Record<string, Fault> = {
  "a database that is killed": {
    start: here,
    strike: async () => {
      const startedAt = () =>
        observer.attempt(
          async (sql) => (await sql`select pg_postmaster_start_time()::text as at`)[0]?.at as string,
        );
      const before = await startedAt();
      const pidFile = await readFile(join(database.dataDir as string, "postmaster.pid"), "utf8");
      process.kill(Number(pidFile.split("\n")[0]), "SIGKILL");
      await until(async () => ((await startedAt()) ?? before) !== before, 60_000);
    },
  },
  "connections that are terminated": {
    start: here,
    // Until one was at work: who is idle connects again and does not notice.
    strike: async () => {
      await until(async () => {
        const ended = await observer.insist(
          (sql) => sql`
            select state <> 'idle' as is_busy, pg_terminate_backend(pid)
            from pg_stat_activity where application_name in ('deliver-alerts', 'producer')`,
        );
        return ended.some(({ is_busy }) => is_busy);
      });
    },
  },
  "workers that are killed while they send": {
    start: async () => {
      await Promise.all([startWorker(), startWorker()]);
      return async () => {
        for (const child of workers) child.kill("SIGKILL");
      };
    },
    strike: async () => {
      const victim = workers.shift() as ChildProcess;
      await until(async () => {
        const sending = await observer.insist(
          (sql) => sql`select from public.alert_notifications where status = 'sending' limit 1`,
        );
        return sending.length > 0;
      });
      victim.kill("SIGKILL");
      await once(victim, "exit");
      await startWorker();
    },
  },
};

test.each(Object.entries(FAULTY))(
  "%s: what was committed is delivered, what was rolled back never",
  async (_, fault) => {
    const messages: Messages = { committed: new Set(), rolledBack: new Set(), arrived: 0 };
    let isStopping = false;
    let hasDelivered = false;
    const producers = Promise.all(
      Array.from({ length: PRODUCERS }, () => produce(messages, () => isStopping)),
    );
    const end = await fault.start(() => hasDelivered);
    const late: unknown[] = [];
    const watching = (async () => {
      while (!hasDelivered) {
        late.push(...((await stuck()) ?? []));
        messages.arrived = (await received()).size;
        await pause();
      }
    })();

    for (let n = 0; n < FAULTS; n++) {
      const before = messages.arrived;
      await until(() => messages.arrived >= before + STEP, 60_000);
      await fault.strike();
    }
    isStopping = true;
    await producers;
    const unsent = () =>
      observer.insist(
        (sql) => sql`select id, status, last_error from public.alert_notifications where status <> 'sent'`,
      );
    await until(async () => (await unsent()).length === 0, 60_000);
    hasDelivered = true;
    await Promise.all([watching, end()]);

    expect(late).toEqual([]);
    const kept = await observer.insist((sql) => sql`select id, attempts from public.alert_notifications`);
    const ids = kept.map(({ id }) => id as string);
    const bodies = await received();
    expect(ids.filter((id) => !bodies.has(id))).toEqual([]);
    const known = new Set(ids);
    expect([...bodies.keys()].filter((id) => !known.has(id))).toEqual([]);
    expect([...messages.committed].filter((id) => !bodies.has(id))).toEqual([]);
    expect([...messages.rolledBack].filter((id) => bodies.has(id))).toEqual([]);
    // Whoever looks at ids alone has seen each message once.
    expect([...bodies].filter(([id, own]) => own.size !== 1 || ![...own][0]?.includes(id))).toEqual([]);
    expect(ids.length).toBeGreaterThanOrEqual(FAULTS * STEP);
    expect(messages.rolledBack.size).toBeGreaterThan(0);
    // The faults have met somebody at work.
    const again = kept.filter(({ attempts }) => attempts > 1).length;
    const lost = clients.reduce((sum, client) => sum + client.lost, 0);
    console.log(`${ids.length} messages, ${again} of them sent again, ${lost} connections lost`);
    expect(again + lost).toBeGreaterThanOrEqual(FAULTS);
  },
  600_000,
);
