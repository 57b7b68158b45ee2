import pg from "pg";
import { RateLimiterPostgres } from "rate-limiter-flexible";
import { QuotaCoalescer } from "../../src/quota_coalescer.ts";
import { type Comparison, compare } from "./compare.ts";

const CALLERS = 256;
const CONNECTIONS = 16;
const TENANTS = 1_000;
const CALLS = 5_120;
const PLENTY = 1e12;

/** What each metric is here; all limits are overrides. */
const LIMITS = {
  tokens: { day: PLENTY },
  embeddings: { minute: PLENTY, day: PLENTY, month: PLENTY },
  api_calls: { minute: PLENTY },
  chat_messages: { day: 1 },
};

/**
 * consume_quota beside a rate limiter over the same Postgres, driver and number of connections, asked by as many callers
 * at once. The calls come as from the data API, so what it may commit without waiting for the disk does not wait.
 */
export async function benchRateLimiters(url: string): Promise<Comparison[]> {
  const plain = new pg.Pool({ connectionString: url, max: CONNECTIONS });
  const asApi = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    options: "-c request.path=/rpc/consume_quota",
  });
  const tenantIds = await makeTenants(plain);
  const [allows, denies] = await Promise.all([limiter(plain, 1e9), limiter(plain, 1)]);

  const one = async (tenantId: string, metric: string) => {
    const text = "select * from public.consume_quota($1, $2)";
    return (await asApi.query({ name: "one", text, values: [tenantId, metric] })).rows[0];
  };
  const coalescer = new QuotaCoalescer(async (groups) => {
    const text = "select * from public.consume_quota_batches($1)";
    const batches = groups.map((takes) => ({
      tenant_id: takes[0].tenantId,
      metric: takes[0].metric,
      amounts: takes.map(({ amount }) => amount),
    }));
    return (await asApi.query({ name: "batches", text, values: [JSON.stringify(batches)] })).rows;
  }, 4);
  const coalesced = (tenantId: string, metric: string) =>
    coalescer.take({ tenantId, metric, amount: 1, subject: undefined, idempotencyKey: undefined });

  const comparisons: Comparison[] = [];
  for (const [where, count] of [
    ["1,000 tenants", TENANTS],
    ["one hot tenant", 1],
  ] as const) {
    const tenant = (call: number) => tenantIds[(call * 7919) % count] as string;
    comparisons.push(
      await compare(`allowed, ${where}`, "calls", [
        calls("rate-limiter-flexible", (i) => allows.consume(tenant(i))),
        calls("consume_quota, one window", (i) => one(tenant(i), "tokens")),
        calls("consume_quota, three windows", (i) => one(tenant(i), "embeddings")),
        calls("consume_quota, a minute's window: asynchronous", (i) => one(tenant(i), "api_calls")),
        calls("coalesced, one window", (i) => coalesced(tenant(i), "tokens")),
        calls("coalesced, three windows", (i) => coalesced(tenant(i), "embeddings")),
        calls("coalesced, a minute's window: asynchronous", (i) => coalesced(tenant(i), "api_calls")),
      ]),
      await compare(`denied, ${where}`, "calls", [
        calls("rate-limiter-flexible", (i) => denies.consume(tenant(i)).catch(() => {})),
        calls("consume_quota", (i) => one(tenant(i), "chat_messages")),
        calls("coalesced", (i) => coalesced(tenant(i), "chat_messages")),
      ]),
    );
  }
  await Promise.all([plain.end(), asApi.end()]);
  return comparisons;
}

/** `CALLS` calls by `CALLERS` who each wait for their own answer. */
function calls(name: string, call: (i: number) => Promise<unknown>) {
  const run = async () => {
    let next = 0;
    const caller = async () => {
      while (next < CALLS) await call(next++);
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
  };
  return { name, operations: CALLS, run };
}

async function makeTenants(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query(
    "select (public.create_tenant('Tenant ' || i, 'trial')).id from generate_series(1, $1) i",
    [TENANTS],
  );
  const ids = rows.map(({ id }) => id as string);
  for (const [metric, limits] of Object.entries(LIMITS)) {
    for (const [period, limit] of Object.entries(limits)) {
      const text =
        "select public.set_custom_quota(id, $2, $3, $4::public.quota_period) from unnest($1::uuid[]) id";
      await pool.query(text, [ids, metric, limit, period]);
    }
    await pool.query("select public.consume_quota(id, $2) from unnest($1::uuid[]) id", [ids, metric]);
  }
  await pool.query("vacuum analyze");
  return ids;
}

/** Counts in a table of its own, by the key that it is given. */
function limiter(storeClient: pg.Pool, points: number): Promise<RateLimiterPostgres> {
  return new Promise((resolve, reject) => {
    const tableName = `limiter_${points}`;
    const made = new RateLimiterPostgres(
      { storeClient, points, duration: 86_400, keyPrefix: tableName, tableName },
      (error?: Error) => (error ? reject(error) : resolve(made)),
    );
  });
}
