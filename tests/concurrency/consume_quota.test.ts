import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { createMeterbase } from "../../src/index.ts";
import { tenantWithLimits } from "../helpers/ledger.ts";
import { createTenant, service } from "../helpers/people.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const mb = createMeterbase(service);
const connections: Sql[] = [];

/** A database connection of its own. */
function connect(): Sql {
  const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
  connections.push(sql);
  return sql;
}
afterAll(() => Promise.all(connections.map((sql) => sql.end())));

async function tenantWith(metric: string, limit: number): Promise<string> {
  const { id } = await createTenant(service);
  await mb.quota.setCustomQuota(id, metric, limit);
  return id;
}

async function usedOf(tenantId: string, metric: string): Promise<number | undefined> {
  return (await mb.quota.getQuotaStatus(tenantId)).find((entry) => entry.metric === metric)?.used;
}

/** Runs `call` `times` times from `clients` callers that each wait for their own answer. */
async function race<T>(clients: number, times: number, call: (client: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let left = times;
  const caller = async (_: unknown, client: number) => {
    while (left-- > 0) results.push(await call(client));
  };
  await Promise.all(Array.from({ length: clients }, caller));
  return results;
}

test("64 clients over HTTP get exactly the limit", async () => {
  const limit = scaled(200, 1_000);
  const tenantId = await tenantWith("tokens", limit);
  const decisions = await race(64, limit + 128, () => mb.quota.consumeQuota(tenantId, "tokens"));
  expect(decisions.filter((decision) => decision.allowed)).toHaveLength(limit);
  expect(await usedOf(tenantId, "tokens")).toBe(limit);
});

test("64 connections taking odd amounts never pass the limit, and leave less than the smallest amount", async () => {
  const limit = scaled(500, 5_000);
  const tenantId = await tenantWith("tokens", limit);
  const clients = Array.from({ length: 64 }, connect);
  const amounts = [3, 5, 7];
  const granted = await race(64, limit, async (client) => {
    const amount = amounts[client % 3] as number;
    const [row] = await (clients[client] as Sql)`
      select allowed from public.consume_quota(${tenantId}, 'tokens', ${amount})`;
    return row?.allowed ? amount : 0;
  });
  const sum = granted.reduce((total, amount) => total + amount, 0);
  expect(sum).toBeLessThanOrEqual(limit);
  expect(limit - sum).toBeLessThan(3);
  expect(await usedOf(tenantId, "tokens")).toBe(sum);
});

test("racing for a counter that does not exist yet, one first insert wins", async () => {
  for (let round = 0; round < scaled(5, 50); round++) {
    const tenantId = await tenantWith("tokens", 10);
    const decisions = await race(16, 16, () => mb.quota.consumeQuota(tenantId, "tokens", { amount: 6 }));
    expect(decisions.filter((decision) => decision.allowed)).toHaveLength(1);
  }
});

test("a caller waits for the one before it, and is denied by what that one commits", async () => {
  const tenantId = await tenantWith("tokens", 10);
  const [first, second] = [connect(), connect()];
  const consume = (sql: Sql) => sql`select allowed from public.consume_quota(${tenantId}, 'tokens', 6)`;
  const [{ pid }] = await second<[{ pid: number }]>`select pg_backend_pid() as pid`;
  await consume(first); // makes the counter
  await mb.quota.setCustomQuota(tenantId, "tokens", 16);
  let waiting: Promise<readonly unknown[]> | undefined;
  await first.begin(async (transaction) => {
    expect(await consume(transaction as unknown as Sql)).toEqual([{ allowed: true }]);
    waiting = consume(second).execute();
    await until(async () => {
      const [state] = await transaction`select wait_event_type from pg_stat_activity where pid = ${pid}`;
      return state?.wait_event_type === "Lock";
    });
  });
  expect(await waiting).toEqual([{ allowed: false }]);
  expect(await usedOf(tenantId, "tokens")).toBe(12);
});

test("several windows are taken together: none is left ahead of the others", async () => {
  const tenantId = await tenantWith("tokens", 60);
  await mb.quota.setCustomQuota(tenantId, "tokens", 50, "month");
  const clients = Array.from({ length: 16 }, connect);
  const granted = await race(16, 100, async (client) => {
    const [row] = await (clients[
      client
    ] as Sql)`select allowed from public.consume_quota(${tenantId}, 'tokens', 1)`;
    return row?.allowed;
  });
  expect(granted.filter(Boolean)).toHaveLength(50);
  const status = (await mb.quota.getQuotaStatus(tenantId)).filter((entry) => entry.metric === "tokens");
  expect(status.map((entry) => [entry.period, entry.used])).toEqual([
    ["day", 50],
    ["month", 50],
  ]);
});

test("the same idempotency key at once is granted once", async () => {
  const tenantId = await tenantWith("tokens", 1_000);
  for (let round = 1; round <= scaled(10, 100); round++) {
    const idempotencyKey = randomUUID();
    const decisions = await race(8, 8, () =>
      mb.quota.consumeQuota(tenantId, "tokens", { amount: 5, idempotencyKey }),
    );
    expect(new Set(decisions.map((decision) => JSON.stringify(decision))).size).toBe(1);
    expect(await usedOf(tenantId, "tokens")).toBe(round * 5);
  }
});

test("a key's last grant is replayed to a racer that finds the quota full", async () => {
  const tenantId = await tenantWith("tokens", 5);
  const idempotencyKey = randomUUID();
  const decisions = await race(16, 32, () =>
    mb.quota.consumeQuota(tenantId, "tokens", { amount: 5, idempotencyKey }),
  );
  expect(decisions.every((decision) => decision.allowed)).toBe(true);
  expect(await usedOf(tenantId, "tokens")).toBe(5);
});

test("a reservation settles once, however many try", async () => {
  const tenantId = await tenantWith("tokens", 1_000);
  const { reservation_id } = await mb.quota.reserveQuota(tenantId, "tokens", 100);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 16 }, () => mb.quota.settleReservation(reservation_id as string, 40)),
  );
  expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected")
      expect(outcome.reason).toMatchObject({ status: 409, code: "reservation_settled" });
  }
  expect(await usedOf(tenantId, "tokens")).toBe(40);
});

test("while others take and give back, every answer is one, and the counter ends where it began", async () => {
  const tenantId = await tenantWith("tokens", 10);
  const clients = Array.from({ length: 16 }, connect);
  await race(16, scaled(400, 4_000), async (client) => {
    const sql = clients[client] as Sql;
    const [held] =
      await sql`select allowed, reservation_id, decision_id from public.reserve_quota(${tenantId}, 'tokens', 6)`;
    if (held?.allowed) await sql`select public.release_reservation(${held.reservation_id})`;
    else expect(held?.decision_id).toEqual(expect.any(String));
  });
  expect(await usedOf(tenantId, "tokens")).toBe(0);
});

test("every check is counted, allowed or denied, while the counts are folded", async () => {
  const cap = scaled(150, 1_500);
  const tenantId = await tenantWithLimits(connect(), [
    { metric: "tokens", limit: cap },
    { metric: "tokens", limit: cap, per: "subject" },
  ]);
  const counts = { allowed: 0, denied: 0 };
  const count = (answers: readonly { allowed?: boolean }[]) => {
    for (const { allowed } of answers) counts[allowed ? "allowed" : "denied"]++;
  };
  const clients = Array.from({ length: 16 }, connect);
  await race(16, cap * 2, async (client) => {
    const sql = clients[client] as Sql;
    const subject = `user-${client % 3}`;
    const dice = Math.random();
    if (dice < 0.6)
      count(await sql`select allowed from public.consume_quota(${tenantId}, 'tokens', 1, ${subject})`);
    else if (dice < 0.8)
      count(
        await sql`select allowed from public.consume_quota_batch(${tenantId}, 'tokens', array[1, 2, 3, 1], ${subject})`,
      );
    else if (dice < 0.9) {
      const held =
        await sql`select allowed, reservation_id from public.reserve_quota(${tenantId}, 'tokens', 2, ${subject})`;
      count(held);
      if (held[0]?.allowed) await sql`select public.release_reservation(${held[0].reservation_id})`;
    } else await sql`select private.fold_quota_denials()`;
  });
  expect(Math.min(counts.allowed, counts.denied)).toBeGreaterThan(0);
  const [checks] =
    await connect()`select allowed::int, denied::int from public.get_quota_checks(${tenantId})`;
  expect(checks).toEqual(counts);
});
