import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { drain } from "../../supabase/functions/deliver-alerts/worker.ts";
import { deliveryOf } from "../helpers/delivery.ts";
import { arrayOf } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";
import { newTenant } from "../helpers/usage.ts";

const ENDPOINTS = 100;
const ROUNDS = scaled(10, 60);
const PAUSE_MS = 300;

let database: Database;
let sql: Sql;
let receiver: Server;
/** When a message came, by its id. */
const arrivals = new Map<string, number>();
let hasHung = 0;

beforeAll(async () => {
  database = await startDatabase();
  sql = postgres(database.databaseUrl, { max: 2, onnotice: () => {} });
  receiver = createServer((request, response) => {
    request.resume().once("end", () => {
      if (request.url === "/hanging")
        hasHung++; // and gets no answer
      else {
        arrivals.set(String(request.headers["webhook-id"]), performance.now());
        response.end();
      }
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  receiver?.closeAllConnections();
  receiver?.close();
  await sql?.end();
  await database?.stop();
});

/** Webhooks at so many paths of the receiver. */
async function channelsTo(paths: string[]): Promise<string[]> {
  const { port } = receiver.address() as AddressInfo;
  const ids: string[] = [];
  let tenantId = "";
  for (const [i, path] of paths.entries()) {
    if (i % 10 === 0) tenantId = await newTenant(sql); // which may have few
    const [channel] = await sql`
      insert into public.alert_channels (tenant_id, type, name, config)
      values (${tenantId}, 'webhook', 'Endpoint', ${sql.json({ url: `http://127.0.0.1:${port}${path}` })}) returning id`;
    ids.push(channel?.id);
  }
  return ids;
}

/** The 99th percentile of the milliseconds from a message's commit to its arrival, of rounds of one to each channel. */
async function p99(rounds: number, channelIds: string[], hangingId?: string): Promise<number> {
  const committed = new Map<string, number>();
  const delivery = deliveryOf(database.databaseUrl, 60);
  const seconds = (rounds * PAUSE_MS) / 1_000;
  const draining = drain(delivery, (seconds + 2) * 1_000);
  for (let round = 0; round < rounds; round++) {
    const alert = {
      type: "system_error",
      severity: "low",
      title: "T",
      message: "M",
      id: "a",
      opened_at: "2026-01-01T00:00:00Z",
    };
    const told = await sql<{ id: string; channel_id: string }[]>`
      insert into public.alert_notifications (channel_id, kind, lane, payload)
      select c, 'alert', c::text, ${sql.json({ event: "opened", alert })}
      from unnest(${arrayOf(hangingId ? [hangingId, ...channelIds] : channelIds)}::uuid[]) c
      returning id, channel_id`;
    const at = performance.now();
    for (const { id, channel_id } of told) if (channel_id !== hangingId) committed.set(id, at);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS)); // the load's own pace
  }
  await until(() => [...committed.keys()].every((id) => arrivals.has(id)), 30_000);
  await draining;
  await delivery.end();
  const times = [...committed].map(([id, at]) => (arrivals.get(id) as number) - at).sort((a, b) => a - b);
  return times[Math.ceil(0.99 * times.length) - 1] as number;
}

test("of 100 endpoints one that hangs does not hold up the others", async () => {
  const channelIds = await channelsTo(Array.from({ length: ENDPOINTS - 1 }, (_, i) => `/${i}`));
  const [hangingId] = await channelsTo(["/hanging"]);
  await p99(5, channelIds); // warms up what is compiled, planned and cached
  const without = await p99(ROUNDS, channelIds);
  const beside = await p99(ROUNDS, channelIds, hangingId);
  const ratio = (beside / without).toFixed(2);
  console.log(
    `p99 of delivery: ${without.toFixed(0)} ms, beside one that hangs ${beside.toFixed(0)} ms: ${ratio} times`,
  );
  expect(hasHung).toBeGreaterThan(0);
  // Twice as much is the aim, which the machine's other work may spoil; who waits for it, waits for ten seconds.
  expect(beside).toBeLessThan(Math.max(2 * without, 4_000));
}, 300_000);
