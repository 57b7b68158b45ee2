import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateTrace } from "../../scripts/demo/generated_trace.ts";
import { mix, zipf } from "../../scripts/import/zipf.ts";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { arrayOf } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { HOUR, newTenant, recompute } from "../helpers/usage.ts";

const TENANTS = 12;
const WEEKS = 5;
const HOURS = scaled(4, 12);
/** Requests of all tenants in the busiest hour of a day. */
const REQUESTS = 2_000;

let database: Database;
let sql: Sql;

beforeAll(async () => {
  database = await startDatabase();
  sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  await sql`select private.ensure_usage_partitions(31, 1)`;
});
afterAll(async () => {
  await sql?.end();
  await database?.stop();
});

/** Requests of one hour: whose (by place), how late in the hour, and their tokens. */
interface Requests {
  tenants: number[];
  ms: number[];
  tokens: number[];
}

/**
 * What a conversation service gets in an hour that `ago` hours have passed since: the trace of a real one, of which each hour
 * is another piece, shared among tenants by the number of the row, and less of it at night.
 */
function requestsOf(seed: number, ago: number): Requests {
  const share = 0.8 + 0.2 * Math.sin((2 * Math.PI * ago) / 24);
  const rows = generateTrace(Math.round(REQUESTS * share), mix(seed + ago) % 1_000_000);
  const [first] = rows;
  const pace = HOUR / (((rows.at(-1)?.at ?? 0) - (first?.at ?? 0)) / 1_000 + 1);
  const tenantOf = zipf(TENANTS);
  return {
    tenants: rows.map(({ line }) => tenantOf(line + 100_000 * ago + seed)),
    ms: rows.map(({ at }) => Math.floor(((at - (first?.at ?? 0)) / 1_000) * pace)),
    tokens: rows.map(({ contextTokens, generatedTokens }) => contextTokens + generatedTokens),
  };
}

/** Records the requests of an hour, some tenants' several times. */
async function record(tenantIds: string[], hour: number, requests: Requests, times: number[]): Promise<void> {
  await sql`
    insert into public.tenant_usage_realtime (tenant_id, event_id, event_timestamp, event_type, tokens_consumed, quantity, batch_id)
    select (${arrayOf(tenantIds)}::uuid[])[r.tenant + 1], gen_random_uuid()::text,
      ${new Date(hour).toISOString()}::timestamptz + r.ms * interval '1 millisecond', 'chat_message', r.tokens, 1, 0
    from unnest(${arrayOf(requests.tenants)}::int[], ${arrayOf(requests.ms)}::int[], ${arrayOf(requests.tokens)}::int[])
      r (tenant, ms, tokens)
    cross join lateral generate_series(1, (${arrayOf(times)}::int[])[r.tenant + 1])`;
}

interface Anomaly {
  tenant: number;
  metric: string;
  hour: string;
}

/** What is found to be unusual, by detect_usage_anomalies and by rules. */
async function findAnomalies(tenantIds: string[]): Promise<{ found: Anomaly[]; alerted: Anomaly[] }> {
  const found = await sql<Anomaly[]>`
    select array_position(${arrayOf(tenantIds)}::uuid[], tenant_id) - 1 as tenant, metric, hour::text
    from public.detect_usage_anomalies(${HOURS + 1}) order by 1, 2, 3`;
  await sql`select public.evaluate_alert_rules()`;
  const alerted = await sql<Anomaly[]>`
    select array_position(${arrayOf(tenantIds)}::uuid[], tenant_id) - 1 as tenant, data ->> 'metric' as metric,
      (data ->> 'hour')::timestamptz::text as hour
    from public.alerts where type = 'usage_anomaly' and status <> 'resolved' order by 1, 2, 3`;
  return { found: [...found], alerted: [...alerted] };
}

test("of five weeks of a service's requests, the one hour that a tenant used three times as much is unusual, and no other", async () => {
  const injection = fc.record({
    seed: fc.nat({ max: 1_000_000 }),
    ago: fc.integer({ min: 1, max: HOURS }),
    // Those with hundreds of requests an hour, of which chance makes neither two thirds nor twice as many.
    tenant: fc.nat({ max: 1 }),
  });
  await fc.assert(
    fc.asyncProperty(injection, async ({ seed, ago, tenant }) => {
      const tenantIds = await Promise.all(Array.from({ length: TENANTS }, () => newTenant(sql, "pro")));
      await sql`
        insert into public.alert_rules (tenant_id, name, type, window_minutes)
        select t, 'Unusual', 'usage_anomaly', ${60 * (HOURS + 1)} from unnest(${arrayOf(tenantIds)}::uuid[]) t`;
      const now = Math.floor(Date.now() / HOUR) * HOUR;
      const once = tenantIds.map(() => 1);
      for (let hour = 1; hour <= HOURS; hour++) {
        for (let week = 0; week < WEEKS; week++) {
          const before = hour + week * 168;
          await record(tenantIds, now - before * HOUR, requestsOf(seed, before), once);
        }
      }
      await recompute(sql);
      expect(await findAnomalies(tenantIds)).toEqual({ found: [], alerted: [] });

      // As much again as a week before, and as two weeks before.
      const its = tenantIds.map((_, place) => (place === tenant ? 1 : 0));
      for (const week of [1, 2])
        await record(tenantIds, now - ago * HOUR, requestsOf(seed, ago + week * 168), its);
      await recompute(sql);
      const [hour] = await sql`select ${new Date(now - ago * HOUR).toISOString()}::timestamptz::text as hour`;
      const unusual = ["chat_messages", "tokens"].map((metric) => ({ tenant, metric, hour: hour?.hour }));
      expect(await findAnomalies(tenantIds)).toEqual({ found: unusual, alerted: unusual });

      await sql`truncate public.tenant_usage_realtime`;
      await sql`delete from public.tenants where id = any (${arrayOf(tenantIds)})`;
    }),
    { numRuns: scaled(2, 8), endOnFailure: true },
  );
}, 600_000);
