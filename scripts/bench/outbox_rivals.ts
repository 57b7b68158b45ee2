import { Logger, runMigrations, runOnce } from "graphile-worker";
import type pg from "pg";
import PgBoss from "pg-boss";
import { connectPool } from "./billing_events.ts";
import type { Message, Outbox } from "./outbox.ts";

const QUEUE = "send";
/** pg-boss and graphile-worker lock that many at a time; more of them make neither faster. */
const BATCH = 5_000;

/**
 * graphile-worker as its own performance test has it: a local queue, jobs completed together, no queue names; one pool a
 * worker, which fetches the next jobs while it completes the last. Enqueued by its SQL, which answers with nothing.
 */
export async function graphileWorker(url: string): Promise<Outbox> {
  const logger = new Logger(() => () => {});
  await runMigrations({ connectionString: url, logger });
  const pool = await connectPool(url, 1);
  return {
    name: "graphile-worker: local queue, completed in batches",
    enqueue: async (messages) => {
      const text = `
        select count(*) from graphile_worker.add_jobs(array(
          select ($1, m.payload, null, null, null, null, null, null)::graphile_worker.job_spec
          from json_to_recordset($2) m (payload json)
        ))`;
      await pool.query({ name: "enqueue", text, values: [QUEUE, JSON.stringify(messages)] });
    },
    drain: async (_messages, workers) => {
      const once = () =>
        runOnce({
          connectionString: url,
          logger,
          noHandleSignals: true,
          taskList: { [QUEUE]: () => {} },
          preset: {
            worker: {
              concurrentJobs: 24,
              localQueue: { size: BATCH },
              completeJobBatchDelay: 0,
              failJobBatchDelay: 0,
            },
          },
        });
      await Promise.all(Array.from({ length: workers }, once));
    },
    left: () => count(pool, "select count(*)::int from graphile_worker._private_jobs"),
    reset: () => empty(pool, "graphile_worker._private_jobs"),
    end: () => pool.end(),
  };
}

/** pg-boss without the work that it does in the background; one queue, read in the order of arrival. */
export async function pgBoss(url: string): Promise<Outbox> {
  const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false });
  boss.on("error", () => {}); // of an idle connection while the cluster stops
  await boss.start();
  await boss.createQueue(QUEUE);
  const pool = await connectPool(url, 1);
  const worker = async () => {
    for (;;) {
      const jobs = await boss.fetch<Message>(QUEUE, { batchSize: BATCH, priority: false });
      if (jobs.length === 0) return;
      await boss.complete(
        QUEUE,
        jobs.map(({ id }) => id),
      );
    }
  };
  return {
    name: "pg-boss: fetch and complete in batches",
    enqueue: async (messages) => {
      await boss.insert(messages.map(({ payload }) => ({ name: QUEUE, data: payload as object })));
    },
    drain: async (_messages, workers) => {
      await Promise.all(Array.from({ length: workers }, worker));
    },
    left: () => count(pool, "select count(*)::int from pgboss.job where state <> 'completed'"),
    reset: () => empty(pool, "pgboss.job"),
    end: async () => {
      await Promise.all([boss.stop({ graceful: false }), pool.end()]);
    },
  };
}

export async function count(pool: pg.Pool, text: string): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(text);
  return rows[0]?.count ?? 0;
}

export async function empty(pool: pg.Pool, table: string): Promise<void> {
  await pool.query(`truncate ${table}`);
}
