import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { arrayOf, Ledger, tenantWithLimits } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";

const { databaseUrl } = inject("stack");
const control = postgres(databaseUrl, { max: 2, onnotice: () => {} });
const clients = Array.from({ length: 20 }, () => postgres(databaseUrl, { max: 1, onnotice: () => {} }));
afterAll(() => Promise.all([control, ...clients].map((sql) => sql.end())));

const SUBJECTS = ["ann", "ben", "cem", "dan"];
const TAKEN = ["tokens", "embeddings", "chat_messages"];
const COUNTED = ["executions", "run_minutes"];
const GAUGES = ["connectors", "workflows"];

const integer = (from: number, to: number) => from + Math.floor(Math.random() * (to - from + 1));
const oneOf = <T>(items: readonly T[]) => items[integer(0, items.length - 1)] as T;
const shuffled = <T>(items: readonly T[]) =>
  items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);

/** A tenant in the middle of its month, day and hour, so that no window rolls over. */
async function newTenant(limit: number): Promise<string> {
  const limits = COUNTED.map((metric) => ({ metric, limit: limit * 0.4 }));
  const tenantId = await tenantWithLimits(control, [
    ...limits,
    // Those of the subjects are of shorter periods, so that they are taken before the tenant's.
    { metric: "tokens", limit: limit / 2, per: "subject", period: "hour" },
    { metric: "tokens", limit, period: "day" },
    { metric: "embeddings", limit: limit / 2, per: "subject", period: "month" },
    { metric: "embeddings", limit },
    { metric: "chat_messages", limit: limit / 2, per: "subject", period: "day" },
    { metric: "chat_messages", limit, period: "day" },
    { metric: "executions", limit: limit / 5, per: "subject", period: "day" },
    { metric: "executions", limit: 1e9, period: "month" }, // in place of the plan's
    { metric: "run_minutes", limit: 1e9, period: "month" },
    ...GAUGES.map((metric) => ({ metric, limit: limit / 5 })),
    { metric: "workflows", limit: limit / 10, per: "subject" },
    { metric: "analysis_runs", limit, per: "subject", period: "month" },
    { metric: "analysis_runs", limit },
  ]);
  await control`
    update public.tenants
    set clock_offset = date_trunc('month', now(), 'UTC') + interval '1 month 14 days 12 hours 5 minutes' - now()
    where id = ${tenantId}`;
  return tenantId;
}

test("whatever takes and gives back at once never waits in a circle, and every counter ends at what is left", async () => {
  const operations = scaled(2_500, 60_000);
  const tenants = await Promise.all(Array.from({ length: 3 }, () => newTenant(Math.floor(operations * 0.3))));
  const ledger = await Ledger.create(control, tenants[0] as string);
  const table = (name: string) => `${ledger.schema}.${name}`;
  await control.unsafe(`
    create table ${table("runs")} (
      id bigint generated always as identity primary key, tenant_id uuid not null, subject text not null, amount int not null
    );
    create table ${table("things")} (like ${table("runs")} including all);
    select meter.attach('${table("runs")}', 'executions', '1', subject => 'subject');
    select meter.attach('${table("runs")}', 'run_minutes', 'amount', subject => 'subject');
    select meter.attach('${table("things")}', 'workflows', 'amount', subject => 'subject');
    select meter.attach('${table("things")}', 'connectors', '1', subject => 'subject')`);

  const faults: string[] = [];
  const outcomes = { granted: 0, denied: 0, refused: 0 };
  const rowsOf = (count: number) =>
    Array.from({ length: count }, () => ({
      tenant_id: oneOf(tenants),
      subject: oneOf(SUBJECTS),
      amount: integer(0, 3),
    }));
  const hear = (answers: { allowed: boolean }[]) => {
    for (const { allowed } of answers) outcomes[allowed ? "granted" : "denied"]++;
  };
  const works: [weight: number, (sql: Sql) => Promise<unknown>][] = [
    [
      20,
      async (sql) =>
        hear([await ledger.of(oneOf(tenants)).consume(sql, oneOf(TAKEN), integer(1, 5), oneOf(SUBJECTS))]),
    ],
    [
      25,
      async (sql) =>
        hear(
          await ledger.consumeBatches(
            sql,
            shuffled(
              Array.from({ length: integer(2, 6) }, () => ({
                tenant_id: oneOf(tenants),
                metric: oneOf(TAKEN),
                subject: oneOf(SUBJECTS),
                amounts: Array.from({ length: integer(1, 4) }, () => integer(1, 3)),
              })),
            ),
          ),
        ),
    ],
    [
      15,
      async (sql) => {
        const items = TAKEN.flatMap((metric) =>
          shuffled(SUBJECTS)
            .slice(0, integer(0, 3))
            .map((subject) => ({ metric, subject, amount: integer(1, 3) })),
        );
        if (items.length > 0) hear(await ledger.of(oneOf(tenants)).consumeTogether(sql, shuffled(items)));
      },
    ],
    [10, (sql) => sql`insert into ${sql(table("runs"))} ${sql(rowsOf(integer(1, 12)))}`],
    [8, (sql) => sql`insert into ${sql(table("things"))} ${sql(rowsOf(integer(1, 8)))}`],
    [
      4,
      // Locks the rows in one order first: who changes many rows of a table has to.
      (sql) => sql`
        with locked as materialized (
          select id from ${sql(table("things"))} where id % 7 = ${integer(0, 6)} order by id limit 5 for update skip locked
        )
        update ${sql(table("things"))} t set amount = ${integer(0, 4)}, subject = ${oneOf(SUBJECTS)}, tenant_id = ${oneOf(tenants)}
        from locked where locked.id = t.id`,
    ],
    [
      4,
      (sql) => sql`
        delete from ${sql(table("things"))} t using (
          select id from ${sql(table("things"))} order by random() limit 4 for update skip locked
        ) gone where gone.id = t.id`,
    ],
    [
      10,
      async (sql) => {
        const subject = oneOf(SUBJECTS);
        const own = ledger.of(oneOf(tenants));
        const answer = await own.reserve(sql, oneOf(TAKEN), 4, subject);
        hear([answer]);
        if (!answer.allowed) return;
        const id = answer.reservation_id as string;
        const extended = await own.extend(sql, id, 3, subject);
        const held = extended.allowed ? 7 : 4;
        // Some are left to the sweep, which gives back what the extension came for.
        if (Math.random() < 0.3)
          await sql`
            with due as (update private.quota_reservations set expires_at = '-infinity' where id = ${id} returning *)
            insert into ${sql(table("entries"))} (tenant_id, metric, subject, amount)
            select tenant_id, metric, subject, spent - amount from due`;
        else await own.end(sql, id, held, integer(0, held), subject);
      },
    ],
    [
      5,
      async (sql) => {
        const held: Parameters<Ledger["endTogether"]>[1] = [];
        for (let i = 0; i < 3; i++) {
          const [tenant_id, subject] = [oneOf(tenants), oneOf(SUBJECTS)];
          const answer = await ledger.of(tenant_id).reserve(sql, oneOf(TAKEN), 5, subject);
          hear([answer]);
          const id = answer.reservation_id;
          if (id) held.push({ id, tenant_id, subject, held: 5, actual: integer(0, 5) });
        }
        await ledger.endTogether(sql, held);
      },
    ],
    [2, (sql) => sql`select private.expire_reservations()`],
    [2, (sql) => sql`select private.fold_quota_denials()`],
    [
      5,
      async (sql) =>
        hear([await ledger.of(oneOf(tenants)).consume(sql, "analysis_runs", 1, oneOf(SUBJECTS))]),
    ],
    [2, (sql) => sql`select public.reset_quota_counter(${oneOf(tenants)}, 'analysis_runs')`],
  ];
  const lots = works.flatMap(([weight, work]) => Array.from({ length: weight }, () => work));

  let left = operations;
  await Promise.all(
    clients.map(async (sql) => {
      while (left-- > 0) {
        try {
          await oneOf(lots)(sql);
        } catch (error) {
          const { code, hint, message } = error as { code?: string; hint?: string; message?: string };
          if (code === "PT429") outcomes.refused++;
          else faults.push(`${code} ${hint ?? ""} ${message}`);
        }
      }
    }),
  );
  expect(new Set(faults)).toEqual(new Set());
  expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0);
  await control`select private.expire_reservations()`;

  const counters = await control`
    select tenant_id, metric, subject, array_agg(distinct used::float) as used
    from private.quota_counters
    where tenant_id = any (${tenants}) and (metric <> all (${COUNTED}) or period <> 'month')
    group by 1, 2, 3`;
  const expected = await control`
    with entries as (
      select tenant_id, metric, subject, amount from ${control(table("entries"))}
      union all select tenant_id, 'executions', subject, 1 from ${control(table("runs"))}
      union all select tenant_id, 'run_minutes', subject, amount from ${control(table("runs"))}
      union all select tenant_id, 'workflows', subject, amount from ${control(table("things"))}
      union all select tenant_id, 'connectors', subject, 1 from ${control(table("things"))}
    )
    select tenant_id, metric, subject, sum(amount)::float as used from entries where subject <> '' group by 1, 2, 3
    union all
    select tenant_id, metric, '', sum(amount)::float from entries group by 1, 2`;
  // What a reset took off is in its audit event.
  const resets = await control`
    select e.tenant_id, e.entity_id as metric, c ->> 'subject' as subject, sum((c ->> 'used')::int)::float as used
    from public.audit_events e cross join lateral jsonb_array_elements(e.old_values -> 'counters') c
    where e.tenant_id = any (${arrayOf(tenants)}::uuid[]) and e.event_type = 'quota_counter_reset'
    group by 1, 2, 3`;
  const told = <T>(rows: readonly Record<string, unknown>[]) =>
    new Map(
      rows.map((row) => [
        `${tenants.indexOf(row.tenant_id as string)} ${row.metric} ${row.subject}`,
        row.used as T,
      ]),
    );
  const kept = told<number[]>(counters);
  const due = told<number>(expected);
  const reset = told<number>(resets);
  expect(reset.size).toBeGreaterThan(0);
  for (const [key, used] of reset) due.set(key, (due.get(key) as number) - used);
  expect(kept.size).toBeGreaterThan(20);
  for (const [key, used] of kept) expect([key, used]).toEqual([key, [due.get(key) ?? 0]]);
  for (const [key, used] of due)
    if (used !== 0 && !key.includes("run_minutes ")) expect(kept.has(key)).toBe(true);

  await control.unsafe(`
    select meter.detach('${table("runs")}', metric) from unnest(array['executions', 'run_minutes']) metric;
    select meter.detach('${table("things")}', metric) from unnest(array['connectors', 'workflows']) metric`);
  await ledger.drop(control);
}, 600_000);
