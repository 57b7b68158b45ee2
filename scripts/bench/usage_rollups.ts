import type { Sql } from "postgres";
import { type Comparison, compare, type Variant } from "./compare.ts";
import { writeHistory } from "./usage_history.ts";

const NEW_EVENTS = 10_000;

export interface History {
  /** How many events it holds. */
  events: number;
  sql: Sql;
}

/** What passes and reads cost with little and with much stored, beside the ways without roll-ups. */
export async function benchRollups(small: History, large: History): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const { sql, events } of [small, large]) await writeHistory(sql, events);
  const label = ({ events }: History) => `${(events / 1e6).toLocaleString("en-US")}M stored`;

  await small.sql`select public.recompute_usage_metrics('-infinity', 'infinity')`;
  const recompute: Variant = {
    name: `recomputing all of ${label(large)}`,
    operations: 1,
    run: async () => {
      await large.sql`select public.recompute_usage_metrics('-infinity', 'infinity')`;
    },
  };
  const refresh: Variant = {
    name: `refreshing a materialized view over ${label(large)}`,
    operations: 1,
    prepare: async () => {
      await large.sql`
        create materialized view daily_usage as
        select tenant_id, date_trunc('day', event_timestamp) as day, count(*) as events, sum(tokens_consumed) as tokens,
          sum(cost_usd) as cost, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by api_response_time_ms)
        from public.tenant_usage_realtime group by 1, 2
        with no data`;
    },
    run: async () => {
      await large.sql`refresh materialized view daily_usage`;
    },
  };
  const passes = [small, large].map((history) => pass(history, label(history)));
  comparisons.push(
    await compare("keeping roll-ups up to date, once", "runs", [recompute, refresh, passes[1] as Variant], 1),
    await compare(
      "record_usage, batches of 500",
      "events",
      [small, large].map((history) => ({
        name: `record_usage, ${label(history)}`,
        operations: NEW_EVENTS,
        run: () => recordNew(history),
      })),
      7,
    ),
  );
  for (const { sql } of [small, large]) await sql`select public.aggregate_usage_metrics()`;
  comparisons.push(
    await compare(`a pass over ${NEW_EVENTS.toLocaleString("en-US")} new events`, "passes", passes, 7),
  );

  const reads = await Promise.all(
    [small, large].map(async (history) => ({ history, ...(await reader(history)) })),
  );
  const readAll = (what: string) =>
    compare(
      `get_tenant_usage, 30 days by day, ${what}`,
      "reads",
      reads.map(({ history, read }) => read(label(history), 200)),
      7,
    );
  comparisons.push(await readAll("all rolled up"));
  for (const { recordTail } of reads) await recordTail();
  comparisons.push(await readAll("and a tail of 20 batches of 50"));
  for (const { sql } of [small, large]) await sql`select public.aggregate_usage_metrics()`;
  const { read, naive } = reads[1] as (typeof reads)[number];
  comparisons.push(
    await compare(
      `30 days of one tenant, ${label(large)}`,
      "reads",
      [read("get_tenant_usage", 20), naive("sum() and percentile_cont() over the events", 1)],
      3,
    ),
  );
  comparisons.push(await compareRls(large));
  return comparisons;
}

/** New events of the present: of 20 tenants, in batches of 500. */
async function recordNew({ sql }: History): Promise<void> {
  await sql`
    select public.record_usage(t.id, (
      select jsonb_agg(jsonb_build_object(
        'event_id', gen_random_uuid(), 'event_type', 'api_call', 'tokens_consumed', 150,
        'event_timestamp', now() - random() * interval '1 minute',
        'api_response_time_ms', round(exp(3 + 2 * random())::numeric, 3), 'api_status_code', 200
      )) from generate_series(1, 500)
    ))
    from (select id from public.tenants order by id limit ${NEW_EVENTS / 500}) t`;
}

/** One pass over such events. */
function pass(history: History, label: string): Variant {
  const { sql } = history;
  return {
    name: `pass, ${label}`,
    operations: 1,
    prepare: () => recordNew(history),
    async run() {
      const [answer] = await sql`select * from public.aggregate_usage_metrics()`;
      if (Number(answer?.events_processed) !== NEW_EVENTS)
        throw new Error(`a pass of ${answer?.events_processed} events`);
    },
  };
}

/** Reads of a tenant's last 30 days. */
async function reader({ sql }: History) {
  const [tenant] = await sql<[{ id: string }]>`select id from public.tenants order by id desc limit 1`;
  const repeated = (name: string, operations: number, once: () => Promise<unknown>): Variant => ({
    name,
    operations,
    async run() {
      for (let i = 0; i < operations; i++) await once();
    },
  });
  return {
    async recordTail() {
      for (let batch = 0; batch < 20; batch++) {
        await sql`
          select public.record_usage(${tenant.id}, (
            select jsonb_agg(jsonb_build_object(
              'event_id', gen_random_uuid(), 'event_type', 'api_call', 'tokens_consumed', 150,
              'api_response_time_ms', 12.5, 'api_status_code', 200
            )) from generate_series(1, 50)
          ))`;
      }
    },
    read: (name: string, operations: number) =>
      repeated(
        name,
        operations,
        () =>
          sql`select * from public.get_tenant_usage(${tenant.id}, now() - interval '30 days', now(), 'daily')`,
      ),
    naive: (name: string, operations: number) =>
      repeated(
        name,
        operations,
        () => sql`
          select date_trunc('day', event_timestamp), count(*), sum(tokens_consumed), sum(cost_usd),
            percentile_cont(array[0.5, 0.95, 0.99]) within group (order by api_response_time_ms)
          from public.tenant_usage_realtime
          where tenant_id = ${tenant.id} and event_timestamp >= now() - interval '30 days'
          group by 1`,
      ),
  };
}

/** The same reads as the database's owner, for whom no policy counts, and as a member. */
async function compareRls({ sql }: History): Promise<Comparison> {
  const [tenant] = await sql<[{ id: string }]>`select id from public.tenants order by id desc limit 1`;
  const [user] = await sql<[{ id: string }]>`
    insert into auth.users (id, email) values (gen_random_uuid(), 'member@example.com') returning id`;
  await sql`insert into public.memberships (tenant_id, user_id, role) values (${tenant.id}, ${user.id}, 'viewer')`;
  const as = (name: string, role: string, query: () => Promise<unknown>): Variant => ({
    name,
    operations: 200,
    async prepare() {
      const claims = JSON.stringify({ sub: user.id, role: "authenticated" });
      await sql`select set_config('request.jwt.claims', ${claims}, false), set_config('role', ${role}, false)`;
    },
    async run() {
      for (let i = 0; i < this.operations; i++) await query();
    },
  });
  const rpc = () =>
    sql`select * from public.get_tenant_usage(${tenant.id}, now() - interval '30 days', now(), 'daily')`;
  const table = () => sql`
    select * from public.tenant_usage_metrics
    where tenant_id = ${tenant.id} and period_type = 'hourly' and period_start >= now() - interval '30 days'`;
  const comparison = await compare(
    "30 days, as the owner and as a member under RLS",
    "reads",
    [
      as("get_tenant_usage, owner", "none", rpc),
      as("get_tenant_usage, member", "authenticated", rpc),
      as("720 hours from the table, owner", "none", table),
      as("720 hours from the table, member", "authenticated", table),
    ],
    7,
  );
  await sql`select set_config('role', 'none', false)`;
  return comparison;
}
