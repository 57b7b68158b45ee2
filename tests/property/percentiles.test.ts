import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import { aggregate, ago, DAY, HOUR, newTenant, record, type SentEvent } from "../helpers/usage.ts";

const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const exponential = (u: number) => -Math.log(1 - u);
const normal = (u: number, v: number) => Math.sqrt(2 * exponential(u)) * Math.cos(2 * Math.PI * v);

/** Latencies in milliseconds from two random numbers. */
const DISTRIBUTIONS: Record<string, (u: number, v: number) => number> = {
  uniform: (u) => 20 + 480 * u,
  exponential: (u) => 120 * exponential(u),
  lognormal: (u, v) => Math.exp(5 + normal(u, v)),
  pareto: (u) => 30 / (1 - u) ** (1 / 1.2),
  // The median lies where there is nothing.
  bimodal: (u, v) => (u < 0.5 ? 15 + v : 900 + 100 * v),
  "from 0.1 ms to 10 min": (u) => 0.1 * 6_000_000 ** u,
};

test.each(Object.keys(DISTRIBUTIONS))(
  "percentiles are within two hundredths of the exact ones: %s",
  async (name) => {
    const random = randomNumbers(name.length);
    const latency = DISTRIBUTIONS[name] as (u: number, v: number) => number;
    const samples = scaled(3_000, 20_000);
    const tenantId = await newTenant(sql);
    // All samples in one hour, and some more in others: of the same day mostly, and of a day before.
    const noon = new Date(Date.now() - 2 * DAY).setUTCHours(12, 0, 0, 0);
    const now = Date.now();
    const startOf = (i: number) => {
      if (i < samples) return noon;
      return i % 3 === 0 ? noon - DAY : noon + HOUR;
    };
    const events = Array.from(
      { length: samples * 1.3 },
      (_, i): SentEvent => ({
        event_id: `event-${i}`,
        event_type: "api_call",
        event_timestamp: ago(now - startOf(i) - (i % HOUR), now),
        api_response_time_ms: Math.round(Math.min(latency(random(), random()), 600_000) * 1000) / 1000,
      }),
    );
    // Batches of all sizes: sketches that are still exact are merged with such that are not.
    for (let at = 0, size = 10; at < events.length; at += size, size = Math.min(size * 3, 5_000)) {
      await record(sql, tenantId, events.slice(at, at + size));
      await aggregate(sql);
    }

    const periods = await sql`
    select m.period_type, e.*, m.api_latency_p50_ms::float8 as p50, m.api_latency_p95_ms::float8 as p95,
      m.api_latency_p99_ms::float8 as p99
    from public.tenant_usage_metrics m
    cross join lateral (
      select count(*)::int as samples,
        percentile_cont(array[0.5, 0.95, 0.99]) within group (order by r.api_response_time_ms::float8) as exact
      from public.tenant_usage_realtime r
      where r.tenant_id = m.tenant_id and r.event_timestamp >= m.period_start and r.event_timestamp < m.period_end
    ) e
    where m.tenant_id = ${tenantId}`;
    for (const type of ["hourly", "daily", "monthly"]) {
      const largest = Math.max(
        ...periods.filter((row) => row.period_type === type).map((row) => row.samples),
      );
      expect(largest).toBeGreaterThanOrEqual(type === "hourly" ? samples : samples * 1.1);
    }
    for (const { exact, p50, p95, p99, ...period } of periods) {
      const errors = [p50, p95, p99].map((value, i) => Math.abs(value / exact[i] - 1));
      expect({ ...period, errors, isWithin: Math.max(...errors) <= 0.02 + 1e-6 }).toMatchObject({
        isWithin: true,
      });
    }
  },
  180_000,
);
