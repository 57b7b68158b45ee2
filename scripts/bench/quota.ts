import type { Sql } from "postgres";
import { type Comparison, compare } from "./compare.ts";

const CALLS = 1_000;

/** consume_quota beside the least that any counter must do, and beside counting events. */
export async function benchQuota(sql: Sql, connections: Sql[]): Promise<Comparison[]> {
  const [{ id: tenantId }] = await sql<
    [{ id: string }]
  >`select (public.create_tenant('Bench', 'enterprise')).id`;
  const [{ id: fullId }] = await sql<[{ id: string }]>`select (public.create_tenant('Full', 'trial')).id`;
  await sql`select public.consume_quota(${fullId}, 'tokens', 10000)`;
  await sql`create unlogged table floor_counters (id int primary key, used bigint not null)`;
  await sql`alter table floor_counters set logged`;
  await sql`insert into floor_counters values (1, 0)`;
  await sql`create table counted_events (tenant_id uuid, at timestamptz, tokens bigint)`;
  await sql`
    insert into counted_events select ${tenantId}, now() - g * interval '0.1 s', 10 from generate_series(1, 100000) g`;
  await sql`create index on counted_events (tenant_id, at)`;
  await sql`analyze counted_events`;

  const times = (count: number, call: (connection: Sql) => Promise<unknown>, over = [sql]) => ({
    operations: count,
    run: async () => {
      const each = count / over.length;
      await Promise.all(
        over.map(async (connection) => {
          for (let i = 0; i < each; i++) await call(connection);
        }),
      );
    },
  });
  const consume = (c: Sql) => c`select * from public.consume_quota(${tenantId}, 'tokens', 1)`;
  const update = (c: Sql) =>
    c`update floor_counters set used = used + 1 where id = 1 and used + 1 <= 9007199254740991 returning used`;
  return [
    await compare("one connection", "calls", [
      { name: "guarded update of one row (the floor)", ...times(CALLS, update) },
      { name: "consume_quota, granted", ...times(CALLS, consume) },
      {
        name: "consume_quota, denied",
        ...times(CALLS, (c) => c`select * from public.consume_quota(${fullId}, 'tokens', 1)`),
      },
      {
        name: "check_tenant_quota",
        ...times(CALLS, (c) => c`select * from public.check_tenant_quota(${tenantId}, 'tokens', 1)`),
      },
      {
        name: "quota by sum() over a day of 100,000 events",
        ...times(
          20,
          (c) => c`
            select sum(tokens) + 1 <= 500000000 from counted_events
            where tenant_id = ${tenantId} and at >= date_trunc('day', now())`,
        ),
      },
    ]),
    await compare(`${connections.length} connections on one counter`, "calls", [
      { name: "guarded update of one row (the floor)", ...times(CALLS, update, connections) },
      { name: "consume_quota, granted", ...times(CALLS, consume, connections) },
    ]),
  ];
}
