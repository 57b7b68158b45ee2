import postgres, { type Sql } from "postgres";
import { afterAll, afterEach, expect, inject, test } from "vitest";
import { tenantWithLimits } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const connections: Sql[] = [];
function connect(): Sql {
  const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
  connections.push(sql);
  return sql;
}
const control = connect();
afterEach(() => Promise.all(connections.splice(1).map((sql) => sql.end())));
afterAll(() => control.end());

type Call = (sql: Sql) => PromiseLike<unknown>;

/** Runs calls that each wait behind `held`, in this order, and lets them go on together. */
async function queuedBehind(held: Call, ...calls: Call[]): Promise<unknown[]> {
  const holder = connect();
  const waiting: PromiseLike<unknown>[] = [];
  await holder.begin(async (transaction) => {
    await held(transaction as unknown as Sql);
    for (const call of calls) {
      const sql = connect();
      const [backend] = await sql`select pg_backend_pid() as pid`;
      const outcome = Promise.resolve(call(sql)).then(
        () => "done",
        (error) => error.code,
      );
      waiting.push(outcome);
      await until(async () => {
        const [state] =
          await control`select wait_event_type from pg_stat_activity where pid = ${backend?.pid}`;
        return state?.wait_event_type === "Lock";
      });
    }
  });
  return Promise.all(waiting);
}

const holdCounter =
  (tenantId: string, metric: string): Call =>
  (sql) =>
    sql`
    select from private.quota_counters where tenant_id = ${tenantId} and metric = ${metric} and subject = '' for update`;

test("batches of several tenants do not wait for each other in a circle, with one subject or several", async () => {
  const limits = [{ metric: "tokens", limit: 1_000 }];
  const tenants = await Promise.all([tenantWithLimits(control, limits), tenantWithLimits(control, limits)]);
  const [a, b] = tenants.sort() as [string, string];
  for (const id of [a, b]) await control`select public.consume_quota(${id}, 'tokens')`;
  const consume =
    (groups: [string, string][]): Call =>
    (sql) =>
      sql`select public.consume_quota_batches(${sql.json(
        groups.map(([tenant_id, subject]) => ({ tenant_id, subject, metric: "tokens", amounts: [1] })),
      )})`;
  const outcomes = await queuedBehind(
    holdCounter(a, "tokens"),
    consume([
      [a, "ann"],
      [b, "ann"],
    ]),
    consume([
      [a, "ann"],
      [b, "ann"],
      [b, "ben"],
    ]),
  );
  expect(outcomes).toEqual(["done", "done"]);
});

test("items of several metrics do not wait for each other in a circle, with one subject or several", async () => {
  const tenantId = await tenantWithLimits(control, [
    { metric: "embeddings", limit: 1_000 },
    { metric: "tokens", limit: 1_000 },
  ]);
  for (const metric of ["embeddings", "tokens"])
    await control`select public.consume_quota(${tenantId}, ${metric})`;
  const consume =
    (items: [string, string][]): Call =>
    (sql) =>
      sql`select public.consume_quotas(${tenantId}, ${sql.json(items.map(([metric, subject]) => ({ metric, subject })))})`;
  const outcomes = await queuedBehind(
    holdCounter(tenantId, "embeddings"),
    consume([
      ["embeddings", "ann"],
      ["tokens", "ann"],
    ]),
    consume([
      ["embeddings", "ann"],
      ["tokens", "ann"],
      ["tokens", "ben"],
    ]),
  );
  expect(outcomes).toEqual(["done", "done"]);
});

test("a subject's first counter and a batch over it do not wait for each other in a circle", async () => {
  const tenantId = await tenantWithLimits(control, [
    { metric: "tokens", limit: 1_000, per: "subject", period: "month" },
    { metric: "tokens", limit: 1_000 },
  ]);
  await control`select public.consume_quota(${tenantId}, 'tokens', 1, 'ann')`;
  const batches = ["ann", "new"].map((subject) => ({
    tenant_id: tenantId,
    metric: "tokens",
    subject,
    amounts: [1],
  }));
  const outcomes = await queuedBehind(
    holdCounter(tenantId, "tokens"),
    (sql) => sql`select public.consume_quota_batches(${sql.json(batches)})`,
    (sql) => sql`select public.consume_quota(${tenantId}, 'tokens', 1, 'new')`,
  );
  expect(outcomes).toEqual(["done", "done"]);
});

test("settlements of several subjects and a take of one of them do not wait for each other in a circle", async () => {
  const tenantId = await tenantWithLimits(control, [
    { metric: "tokens", limit: 1_000, per: "subject", period: "month" },
    { metric: "tokens", limit: 1_000 },
  ]);
  const settlements: object[] = [];
  for (const subject of ["ann", "ben"]) {
    const [held] =
      await control`select reservation_id from public.reserve_quota(${tenantId}, 'tokens', 5, ${subject})`;
    settlements.push({ reservation_id: held?.reservation_id, actual_amount: 1 });
  }
  const outcomes = await queuedBehind(
    holdCounter(tenantId, "tokens"),
    (sql) => sql`select public.settle_reservations(${sql.json(settlements as never)})`,
    (sql) => sql`select public.consume_quota(${tenantId}, 'tokens', 1, 'ben')`,
  );
  expect(outcomes).toEqual(["done", "done"]);
});

test("rows of a table with two metrics and batches of both do not wait for each other in a circle", async () => {
  const limits = ["executions", "run_minutes"].map((metric) => ({ metric, limit: 1_000 }));
  const tenants = await Promise.all([tenantWithLimits(control, limits), tenantWithLimits(control, limits)]);
  const [a, b] = tenants.sort() as [string, string];
  const table = `public.runs_${a.replaceAll("-", "")}`;
  await control.unsafe(`
    create table ${table} (id bigint generated always as identity primary key, tenant_id uuid not null);
    select meter.attach('${table}', 'executions');
    select meter.attach('${table}', 'run_minutes')`);
  const insert: Call = (sql) => sql.unsafe(`insert into ${table} (tenant_id) values ('${a}'), ('${b}')`);
  await insert(control);
  const batches = [
    { tenant_id: a, metric: "run_minutes", amounts: [1] },
    { tenant_id: b, metric: "executions", amounts: [1] },
  ];
  const outcomes = await queuedBehind(
    (sql) =>
      sql`select from private.quota_counters where tenant_id = ${b} and metric = 'executions' for update`,
    insert,
    (sql) => sql`select public.consume_quota_batches(${sql.json(batches)})`,
  );
  await control.unsafe(`
    select meter.detach('${table}', metric) from unnest(array['executions', 'run_minutes']) metric;
    drop table ${table}`);
  expect(outcomes).toEqual(["done", "done"]);
});

test("denials of the same metrics in any order do not wait for each other in a circle", async () => {
  const outcomes: unknown[] = [];
  for (let round = 0; round < scaled(20, 200); round++) {
    const tenantId = await tenantWithLimits(control, [
      { metric: "embeddings", limit: 0 },
      { metric: "tokens", limit: 0 },
    ]);
    const [one, two] = [connect(), connect()];
    const ask = (sql: Sql, metrics: string[]) =>
      sql`select allowed from public.consume_quotas(${tenantId}, ${sql.json(metrics.map((metric) => ({ metric })))})`;
    await Promise.all([one`select 1`, two`select 1`]);
    const settled = await Promise.allSettled([
      ask(one, ["embeddings", "tokens"]),
      ask(two, ["tokens", "embeddings"]),
    ]);
    outcomes.push(
      ...settled.map((outcome) => (outcome.status === "rejected" ? outcome.reason.code : "done")),
    );
    await Promise.all(connections.splice(1).map((sql) => sql.end()));
  }
  expect(new Set(outcomes)).toEqual(new Set(["done"]));
});

test.each([
  ["one window", []],
  ["several windows", [{ metric: "tokens", limit: 100, per: "subject" as const }]],
])(
  "a batch that waits while others give back is denied only what it saw no room for, of %s",
  async (_, more) => {
    const tenantId = await tenantWithLimits(control, [{ metric: "tokens", limit: 10 }, ...more]);
    await control`select public.consume_quota(${tenantId}, 'tokens', 2, 'ann')`;
    const [held] =
      await control`select reservation_id from public.reserve_quota(${tenantId}, 'tokens', 6, 'ann')`;
    let answers: readonly Record<string, unknown>[] = [];
    const outcomes = await queuedBehind(
      (sql) => sql`select public.release_reservation(${held?.reservation_id})`,
      async (sql) => {
        answers = await sql`
        select allowed, reason, used::int, limit_value::int, decision_id
        from public.consume_quota_batch(${tenantId}, 'tokens', array[1, 5], 'ann')`;
      },
    );
    expect(outcomes).toEqual(["done"]);
    const [first, second] = answers;
    expect(first?.allowed).toBe(true);
    // It fits by now; whether that was seen in time is left open, but not what is told.
    if (second?.allowed) expect(second.used).toBe(8);
    else {
      expect(second).toMatchObject({
        reason: "quota_exceeded",
        limit_value: 10,
        decision_id: expect.any(String),
      });
      expect(second?.used).toBeGreaterThan(5);
    }
    const [now] = await control`
    select used::int from private.quota_counters where tenant_id = ${tenantId} and subject = ''`;
    expect(now?.used).toBe(second?.allowed ? 8 : 3);
  },
);

test("rows that are refused while others go are refused for the quota alone", async () => {
  const tenantId = await tenantWithLimits(control, [
    { metric: "workflows", limit: 6 },
    { metric: "workflows", limit: 6, per: "subject" },
  ]);
  const table = `public.things_${tenantId.replaceAll("-", "")}`;
  await control.unsafe(`
    create table ${table} (id bigint generated always as identity primary key, tenant_id uuid not null);
    select meter.attach('${table}', 'workflows', subject => '''ann''')`);
  const outcomes = new Set<string>();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      const sql = connect();
      for (let i = 0; i < scaled(40, 1_000); i++) {
        await sql
          .unsafe(`insert into ${table} (tenant_id) values ('${tenantId}'), ('${tenantId}')`)
          .catch((error) => {
            outcomes.add(`${error.code} ${error.hint}`);
          });
        await sql.unsafe(
          `delete from ${table} where ctid = (select ctid from ${table} limit 1 for update skip locked)`,
        );
      }
    }),
  );
  const [end] = await control.unsafe(`
    select count(*)::int as rows, (select used::int from private.quota_counters
      where tenant_id = '${tenantId}' and metric = 'workflows' and subject = '') as used from ${table}`);
  await control.unsafe(`select meter.detach('${table}', 'workflows'); drop table ${table}`);
  expect(end?.used).toBe(end?.rows);
  expect([...outcomes]).toEqual(["PT429 quota_exceeded"]);
});
