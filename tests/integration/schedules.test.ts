import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { until } from "../helpers/until.ts";

let database: Database;
let sql: Sql;

beforeAll(async () => {
  database = await startDatabase({ postgres: "system" });
  sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
});
afterAll(async () => {
  await sql.end();
  await database.stop();
});

test("pg_cron itself runs every scheduled function, and each succeeds", async () => {
  const [extension] = await sql`select extname from pg_extension where extname = 'pg_cron'`;
  expect(extension).toEqual({ extname: "pg_cron" });
  const jobs = await sql`select jobname from cron.job where jobname like 'meterbase_%'`;
  expect(jobs.length).toBeGreaterThan(0);
  await sql`update cron.job set schedule = '* * * * *'`; // this minute instead of this night
  await sql`select cron.schedule('wake', '* * * * *', 'select 1')`; // makes pg_cron read its jobs anew
  const runs = () => sql<{ jobname: string; status: string; return_message: string }[]>`
    select j.jobname, d.status, d.return_message
    from cron.job_run_details d join cron.job j using (jobid)
    where d.status in ('succeeded', 'failed') and j.jobname like 'meterbase_%'`;
  await until(async () => new Set((await runs()).map((run) => run.jobname)).size === jobs.length, 100_000);
  expect((await runs()).filter((run) => run.status === "failed")).toEqual([]);
}, 120_000);
