import { setTimeout as sleep } from "node:timers/promises";
import { Cron } from "croner";
import postgres from "postgres";

interface Job {
  jobid: string;
  schedule: string;
  command: string;
  username: string;
}

/**
 * Runs the jobs of `cron.job` where platform.sql stands in for pg_cron: five-field patterns in UTC, and
 * pg_cron 1.5's `N seconds`. A job never overlaps itself. Jobs are re-read every second. Does nothing where the
 * real extension is installed.
 */
export async function startCron(databaseUrl: string): Promise<{ stop(): Promise<void> }> {
  const sql = postgres(databaseUrl, { max: 5, onnotice: () => {} });
  const [real] = await sql`select exists (select from pg_extension where extname = 'pg_cron') as present`;
  if (real?.present) return { stop: () => sql.end() };

  const timers = new Map<string, { source: string; cron: Cron }>();
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();

  function schedule(job: Job): Cron {
    const seconds = /^(\d+) seconds?$/.exec(job.schedule)?.[1];
    const options = { timezone: "UTC", protect: true, ...(seconds && { interval: Number(seconds) }) };
    return new Cron(seconds ? "* * * * * *" : job.schedule, options, () => {
      const run = execute(job)
        .catch((error) => console.error(`cron: run of job ${job.jobid}:`, error)) // the database is out of reach
        .finally(() => running.delete(run));
      running.add(run);
      return run;
    });
  }

  async function execute(job: Job): Promise<void> {
    const [detail] = await sql`
      insert into cron.job_run_details (jobid, database, username, command, status, start_time)
      values (${job.jobid}, current_database(), ${job.username}, ${job.command}, 'running', clock_timestamp())
      returning runid`;
    const finish = (status: string, message: string) => sql`
      update cron.job_run_details set status = ${status}, return_message = ${message}, end_time = clock_timestamp()
      where runid = ${detail?.runid}`;
    // Released before the outcome is written: jobs that hold all connections would wait for one more forever.
    const connection = await sql.reserve();
    let outcome: [status: string, message: string];
    try {
      await connection`select set_config('role', ${job.username}, false)`;
      const result = await connection.unsafe(job.command);
      outcome = ["succeeded", `${result.count} row(s)`];
    } catch (error) {
      outcome = ["failed", error instanceof Error ? error.message : String(error)];
    }
    try {
      await connection.unsafe("rollback; reset role"); // whatever state the job left it in
    } finally {
      connection.release();
    }
    await finish(...outcome);
  }

  async function refresh(): Promise<void> {
    const jobs = await sql<Job[]>`select jobid, schedule, command, username from cron.job where active`;
    const current = new Set(jobs.map((job) => job.jobid));
    for (const [id, timer] of timers) {
      if (!current.has(id)) {
        timer.cron.stop();
        timers.delete(id);
      }
    }
    for (const job of jobs) {
      const source = JSON.stringify(job);
      if (timers.get(job.jobid)?.source === source) continue;
      timers.get(job.jobid)?.cron.stop();
      try {
        timers.set(job.jobid, { source, cron: schedule(job) });
      } catch (error) {
        console.error(`cron: job ${job.jobid} has no valid schedule (${job.schedule}):`, error);
      }
    }
  }

  const poll = (async () => {
    while (!stopping.signal.aborted) {
      await refresh().catch((error) => stopping.signal.aborted || console.error("cron:", error));
      await sleep(1_000, undefined, { signal: stopping.signal }).catch(() => {});
    }
  })();

  return {
    async stop() {
      stopping.abort();
      for (const { cron } of timers.values()) cron.stop();
      await Promise.allSettled([poll, ...running]);
      await sql.end();
    },
  };
}
