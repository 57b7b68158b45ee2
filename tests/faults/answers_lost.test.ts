import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { isLost } from "../helpers/connections.ts";
import { type Cut, type CuttingProxy, startCuttingProxy } from "../helpers/cutting_proxy.ts";
import { arrayOf, type QuotaRow, tenantWithLimits, usedOf } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";

const { databaseUrl } = inject("stack");
const control = postgres(databaseUrl, { max: 1, onnotice: () => {} });
let proxy: CuttingProxy;
beforeAll(async () => {
  proxy = await startCuttingProxy(databaseUrl);
});
afterAll(async () => {
  await proxy.stop();
  await control.end();
});

type Call = (sql: Sql) => Promise<QuotaRow[]>;

/** Makes a call whose connection is cut, and fails when it is answered all the same. */
async function unanswered(call: Call, cut: Cut): Promise<void> {
  const sql = postgres(proxy.databaseUrl, { max: 1, fetch_types: false, onnotice: () => {} });
  await sql`select 1`;
  proxy.cutNext(cut);
  const outcome = await call(sql).then(
    () => "answered",
    (error) => (isLost(error) ? "lost" : error),
  );
  await sql.end({ timeout: 0 });
  expect(outcome).toBe("lost");
}

/** The same on a connection of its own. */
async function answered(call: Call): Promise<QuotaRow[]> {
  const sql = postgres(proxy.databaseUrl, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await call(sql);
  } finally {
    await sql.end();
  }
}

const newTenant = () =>
  tenantWithLimits(control, [
    { metric: "tokens", limit: 1e9 },
    { metric: "embeddings", limit: 1e9 },
  ]);
const used = async (tenantId: string) => [
  await usedOf(control, tenantId, "tokens"),
  await usedOf(control, tenantId, "embeddings"),
];

/** The calls that take an idempotency key, and what each takes of tokens and of embeddings. */
const calls: [
  name: string,
  tokens: number,
  embeddings: number,
  call: (tenantId: string, key: string) => Call,
][] = [
  [
    "consume_quota",
    7,
    0,
    (tenantId, key) => (sql) =>
      sql`select * from public.consume_quota(${tenantId}, 'tokens', 7, null, ${key})`,
  ],
  [
    "reserve_quota",
    5,
    0,
    (tenantId, key) => (sql) =>
      sql`select * from public.reserve_quota(${tenantId}, 'tokens', 5, idempotency_key => ${key})`,
  ],
  [
    "consume_quota_batch",
    6,
    0,
    (tenantId, key) => (sql) =>
      sql`select * from public.consume_quota_batch(
        ${tenantId}, 'tokens', array[1, 2, 3], null, ${arrayOf([`${key}-1`, `${key}-2`, `${key}-3`])}::text[])`,
  ],
  [
    "consume_quotas",
    4,
    3,
    (tenantId, key) => (sql) =>
      sql`select * from public.consume_quotas(${tenantId}, ${sql.json([
        { metric: "tokens", amount: 4, idempotency_key: `${key}-1` },
        { metric: "embeddings", amount: 3, idempotency_key: `${key}-2` },
      ])})`,
  ],
];

describe("a call whose answer is lost after its commit", () => {
  test.each(calls)(
    "%s is answered as at first when it is repeated with its key, and takes once",
    async (name, tokens, embeddings, call) => {
      const rounds = name === "consume_quota" ? scaled(40, 1_000) : scaled(10, 250);
      const tenantId = await newTenant();
      const withheld = proxy.withheld;
      for (let round = 1; round <= rounds; round++) {
        const keyed = call(tenantId, randomUUID());
        const expected = [round * (tokens + 1) - 1, round * embeddings];
        if (round % 5 === 0) {
          await unanswered(keyed, "request");
          expect(await used(tenantId)).toEqual([(round - 1) * (tokens + 1), (round - 1) * embeddings]);
        }
        await unanswered(keyed, "answer");
        expect(await used(tenantId)).toEqual(expected); // what was not heard is done
        const answers = await answered(keyed);
        expect(answers.map(({ allowed }) => allowed)).toEqual(answers.map(() => true));
        // As it was then: the last of each metric saw all that is used now.
        expect(Number(answers.at(-1)?.used)).toBe(embeddings > 0 ? expected[1] : expected[0]);
        await control`select public.consume_quota(${tenantId}, 'tokens', 1)`; // what an answer worked out anew would tell
        expect(await answered(keyed)).toEqual(answers);
        expect(await used(tenantId)).toEqual([round * (tokens + 1), round * embeddings]);
      }
      expect(proxy.withheld - withheld).toBe(rounds);
      if (name === "reserve_quota") {
        const [held] = await control`
        select count(*)::int as count, sum(amount)::int as amount from private.quota_reservations where tenant_id = ${tenantId}`;
        expect(held).toEqual({ count: rounds, amount: rounds * tokens });
      }
    },
    600_000,
  );

  test("takes twice when it is repeated without a key", async () => {
    const tenantId = await newTenant();
    const call: Call = (sql) => sql`select * from public.consume_quota(${tenantId}, 'tokens', 7)`;
    await unanswered(call, "answer");
    await answered(call);
    expect(await used(tenantId)).toEqual([14, 0]);
  });
});
