import { setTimeout as sleep } from "node:timers/promises";
import Table from "cli-table3";
import type pg from "pg";
import type { Sql } from "postgres";
import { connectPool, ingestAll, makeTenants, process, Shop, sign } from "./billing_events.ts";

const UPGRADES = 500;
const CALLERS = 16;

export interface Latency {
  title: string;
  /** Milliseconds, over `count` of what is measured. */
  results: { name: string; count: number; p50_ms: number; p95_ms: number; p99_ms: number }[];
}

/**
 * How long an upgrade takes from its event's arrival until another connection reads the raised limit, and how long the
 * database says that the same upgrades took since the whole second in which Stripe made the event.
 */
export async function benchUpgrades(sql: Sql, url: string): Promise<Latency> {
  const results: Latency["results"] = [];
  const [writers, readers] = await Promise.all([connectPool(url, CALLERS), connectPool(url, CALLERS)]);
  for (const [name, callers] of [
    ["one after another", 1],
    [`${CALLERS} at a time`, CALLERS],
  ] as const) {
    console.error(`upgrades, ${name} …`);
    const shop = new Shop(() => new Date());
    const tenants = (await makeTenants(sql, UPGRADES)).map((tenantId) => ({
      tenantId,
      subscription: shop.subscribe(tenantId),
    }));
    await ingestAll(
      sql,
      shop.take().filter(({ type }) => type.startsWith("customer.subscription.")),
    );
    await sql`select pg_sleep(1.1)`; // so that no upgrade falls into the second in which it was bought
    const [{ from_ts }] = await sql<[{ from_ts: Date }]>`select clock_timestamp() as from_ts`;

    const latencies: number[] = [];
    let next = 0;
    const caller = async () => {
      for (let tenant = tenants[next++]; tenant; tenant = tenants[next++]) {
        shop.upgrade(tenant.subscription);
        const [event] = shop.take();
        if (event?.type !== "customer.subscription.updated") throw new Error("Stripe told of no upgrade");
        const signed = await sign(event);
        const arrived = performance.now();
        const isSeen = untilRaised(readers, tenant.tenantId);
        await process(writers, signed);
        latencies.push((await isSeen) - arrived);
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    results.push(summary(`seen by another connection, ${name}`, latencies));

    const [kpis] = await sql`
      select webhooks_received::int, webhooks_failed::int, upgrades::int, upgrade_latency_p50_seconds * 1000 as p50,
        upgrade_latency_p95_seconds * 1000 as p95, upgrade_latency_p99_seconds * 1000 as p99
      from public.get_billing_kpis(${from_ts}, clock_timestamp())`;
    if (kpis?.webhooks_received !== UPGRADES || kpis.webhooks_failed !== 0)
      throw new Error(`of ${UPGRADES} upgrades: ${JSON.stringify(kpis)}`);
    results.push({
      name: `get_billing_kpis, ${name}`,
      count: kpis.upgrades,
      p50_ms: Number(kpis.p50),
      p95_ms: Number(kpis.p95),
      p99_ms: Number(kpis.p99),
    });
  }
  await Promise.all([writers.end(), readers.end()]);
  return { title: "upgrades: from the event to the limit", results };
}

/** When a reader sees the limit of Enterprise, who asks again a millisecond after each answer. */
async function untilRaised(readers: pg.Pool, tenantId: string): Promise<number> {
  const text = `
    select limit_value::int from public.entitlements
    where tenant_id = $1 and metric = 'api_calls' and period = 'day' and per = 'subject'`;
  for (;;) {
    const { rows } = await readers.query({ name: "limit", text, values: [tenantId] });
    if (rows[0]?.limit_value === 10_000) return performance.now();
    if (rows[0]?.limit_value !== 1_000) throw new Error(`a limit of ${rows[0]?.limit_value}`);
    await sleep(1);
  }
}

function summary(name: string, values: number[]): Latency["results"][number] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number).toPrecision(3));
  return { name, count: sorted.length, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) };
}

export function renderLatency({ title, results }: Latency): string {
  const table = new Table({
    head: [title, "count", "p50 ms", "p95 ms", "p99 ms"],
    colAligns: ["left", "right", "right", "right", "right"],
    style: { head: [] },
  });
  for (const { name, count, p50_ms, p95_ms, p99_ms } of results)
    table.push([name, count, ...[p50_ms, p95_ms, p99_ms].map((ms) => ms.toLocaleString("en-US"))]);
  return table.toString();
}
