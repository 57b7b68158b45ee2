import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import { DAY_SECONDS, event, ingest, invoice } from "../helpers/stripe_events.ts";
import { until } from "../helpers/until.ts";
import { newTenant } from "../helpers/usage.ts";

const connections: Sql[] = [];

/** A database connection of its own. */
function connect(): Sql {
  const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
  connections.push(sql);
  return sql;
}
afterAll(() => Promise.all(connections.map((sql) => sql.end())));
const sql = connect();

interface Debit {
  allowed: boolean;
  amount: string;
  balance: string;
  reason: string | null;
  entry_id: string | null;
}

async function debit(connection: Sql, tenantId: string, amount: number, key?: string): Promise<Debit> {
  const [answer] = await connection<[Debit]>`
    select * from public.debit_credits(${tenantId}, ${amount}, 'work', ${key ?? null})`;
  return answer;
}

/** Gives credits, of which those with `hours` expire so long after the tenant's time. */
async function give(connection: Sql, tenantId: string, amount: number, hours: number | null, key?: string) {
  await connection`
    select g.id from public.tenants t cross join lateral public.grant_credits(
      t.id, ${amount}, 'gift', now() + t.clock_offset + ${hours}::int * interval '1 hour' + interval '1 minute', ${key ?? null}
    ) g where t.id = ${tenantId}`;
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

async function balanceOf(tenantId: string): Promise<number> {
  const [row] = await sql`select public.get_credit_balance(${tenantId})::float as balance`;
  return row?.balance;
}

/** What is wrong in a tenant's books; all of it is none. */
async function faultsOf(tenantId: string): Promise<unknown> {
  const [faults] = await sql`
    with ledger as (
      select l.*, sum(amount) over (order by id) as sum, lag(effective_at) over (order by id) as before
      from public.credit_ledger l where tenant_id = ${tenantId}
    )
    select
      (select balance from private.credit_accounts where tenant_id = ${tenantId})
        - (select sum(amount) from ledger) as "account from ledger",
      (select sum(remaining) from private.credit_grants where tenant_id = ${tenantId})
        - (select sum(amount) from ledger) as "grants from ledger",
      (select count(*) from ledger where balance <> sum) as "balances that are no running sum",
      (select count(*) from ledger where balance < 0) as "balances below zero",
      (select count(*) from ledger where effective_at < before) as "entries dated before earlier ones",
      (select count(*) from ledger l
        where l.amount <> (select sum(g.value::bigint) from jsonb_each_text(l.grants) g)) as "amounts that are not of grants",
      (select count(*) from private.credit_grants g where g.tenant_id = ${tenantId} and g.remaining <> coalesce(
        (select sum((l.grants ->> g.id::text)::bigint) from ledger l), 0)) as "grants that are no replay"`;
  return Object.entries(faults ?? {}).filter(([, fault]) => fault !== "0");
}

test("64 connections taking odd amounts, each twice, take what there is and no more", async () => {
  const tenantId = await newTenant(sql);
  const limit = scaled(1_000, 10_000);
  for (const [i, hours] of [240, null, 24, 72, 24].entries())
    await give(sql, tenantId, limit / 5, hours, `${i}`);
  const clients = Array.from({ length: 64 }, connect);
  const amounts = [3, 5, 7];
  const pairs = await race(64, limit / 3, async (client) => {
    const key = randomUUID();
    const amount = amounts[client % 3] as number;
    const both = [client, (client + 31) % 64].map((one) => debit(clients[one] as Sql, tenantId, amount, key));
    return { key, amount, answers: await Promise.all(both) };
  });

  for (const { answers } of pairs) expect(answers[1]).toEqual({ ...answers[0], balance: expect.any(String) });
  const taken = pairs.filter(({ answers }) => answers[0]?.allowed);
  expect(taken.map(({ answers }) => answers[0]?.balance)).toEqual(
    taken.map(({ answers }) => answers[1]?.balance),
  );
  const entries = await sql<{ id: string; key: string; amount: number; balance: string }[]>`
    select id, idempotency_key as key, -amount::int as amount, balance from public.credit_ledger
    where tenant_id = ${tenantId} and kind = 'debit'`;
  const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
  expect([...entries].sort(byKey)).toEqual(
    taken
      .map(({ key, amount, answers }) => ({
        id: answers[0]?.entry_id,
        key,
        amount,
        balance: answers[0]?.balance,
      }))
      .sort(byKey),
  );
  const sum = taken.reduce((total, { amount }) => total + amount, 0);
  expect(await balanceOf(tenantId)).toBe(limit - sum);
  expect(limit - sum).toBeLessThan(3);
  expect(await faultsOf(tenantId)).toEqual([]);
});

test("a caller waits for the one before it, is dated after it, and is denied by what that one commits", async () => {
  const tenantId = await newTenant(sql);
  await give(sql, tenantId, 10, null);
  const [first, second, third] = [connect(), connect(), connect()];
  const pids = await Promise.all(
    [second, third].map(async (one) => (await one`select pg_backend_pid() as pid`)[0]?.pid as number),
  );
  const waiting: Promise<Debit>[] = [];
  await first.begin(async (transaction) => {
    const connection = transaction as unknown as Sql;
    expect(await debit(connection, tenantId, 6)).toMatchObject({ allowed: true, balance: "4" });
    waiting.push(debit(second, tenantId, 6), debit(third, tenantId, 3));
    await until(async () => {
      const [state] = await connection`
        select count(*)::int from pg_stat_activity where pid = any (${pids}) and wait_event_type = 'Lock'`;
      return state?.count === 2;
    });
    await connection`select pg_sleep(0.05)`;
    expect(await debit(connection, tenantId, 1)).toMatchObject({ allowed: true, balance: "3" });
  });
  expect(await Promise.all(waiting)).toMatchObject([
    { allowed: false, reason: "insufficient_credits" },
    { allowed: true, balance: "0" },
  ]);
  expect(await faultsOf(tenantId)).toEqual([]);
});

test("the first two callers of a tenant make one account", async () => {
  const tenantId = await newTenant(sql);
  const [first, second] = [connect(), connect()];
  const [{ pid }] = await second<[{ pid: number }]>`select pg_backend_pid() as pid`;
  let waiting: Promise<Debit> | undefined;
  await first.begin(async (transaction) => {
    await give(transaction as unknown as Sql, tenantId, 10, null);
    waiting = debit(second, tenantId, 6);
    await until(async () => {
      const [state] = await transaction`select wait_event_type from pg_stat_activity where pid = ${pid}`;
      return state?.wait_event_type === "Lock";
    });
  });
  expect(await waiting).toMatchObject({ allowed: true, balance: "4" });
  expect(await faultsOf(tenantId)).toEqual([]);
});

test("while grants come and expire, months begin and clocks go on, every credit is booked once", async () => {
  const tenantIds = await Promise.all([1, 2, 3].map(() => newTenant(sql, "free")));
  const clients = Array.from({ length: 24 }, connect);
  const allowed = new Map<string, string>();
  const granted = new Map<string, number>(tenantIds.map((id) => [id, 0]));
  const paid = new Map<string, number>(tenantIds.map((id) => [id, 0]));
  const add = (sums: Map<string, number>, id: string, amount: number) =>
    sums.set(id, (sums.get(id) ?? 0) + amount);
  let lines = 0;

  await race(24, scaled(1_200, 12_000), async (client) => {
    const [one, other] = [clients[client] as Sql, clients[(client + 11) % 24] as Sql];
    const tenantId = tenantIds[Math.floor(Math.random() * tenantIds.length)] as string;
    const dice = Math.random();
    const key = randomUUID();
    if (dice < 0.55) {
      const amount = 1 + Math.floor(Math.random() * 40);
      const answers = await Promise.all(
        [one, other].map((connection) => debit(connection, tenantId, amount, key)),
      );
      // One that was denied may be granted to its twin, since credits came between.
      const ids = new Set(answers.flatMap(({ entry_id }) => entry_id ?? []));
      expect(ids.size).toBeLessThanOrEqual(1);
      for (const id of ids) allowed.set(key, id);
      for (const answer of answers) expect(Number(answer.balance)).toBeGreaterThanOrEqual(0);
    } else if (dice < 0.7) {
      // Far enough for no clock to pass it while it is given.
      const hours = Math.random() < 0.2 ? null : 48 + Math.floor(Math.random() * 36);
      await Promise.all([one, other].map((connection) => give(connection, tenantId, 50, hours, key)));
      add(granted, tenantId, 50);
    } else if (dice < 0.8) {
      const [clock] =
        await one`select extract(epoch from private.tenant_now(${tenantId}))::bigint::int as now`;
      // Of a month that ends soon, so that its credits expire, and of which several lines may come.
      const end = Math.floor(clock?.now / DAY_SECONDS + 2) * DAY_SECONDS;
      const number = ++lines;
      const sent = event(
        `evt_credits_${key}`,
        "invoice.paid",
        clock?.now,
        invoice(
          {
            id: `in_${key}`,
            customer: `cus_${tenantId}`,
            subscription: `sub_${tenantId}`,
            tenantId,
            status: "paid",
            attempts: 1,
            created: clock?.now,
            lines: [
              {
                id: `il_${key}`,
                price: "price_startup_monthly",
                amount: 4_900,
                start: end - 30 * DAY_SECONDS,
                end,
              },
            ],
          },
          number % 2 === 0 ? "2024-06-20" : "2026-10-28.endive",
        ),
      );
      const answers = await Promise.all([one, other].map((connection) => ingest(connection, sent)));
      expect(answers.map(({ status }) => status).sort()).toEqual(["duplicate", "processed"]);
      add(paid, tenantId, 300);
    } else if (dice < 0.9) {
      await one`update public.tenants set clock_offset = clock_offset + interval '6 hours' where id = ${tenantId}`;
    } else if (dice < 0.95) {
      await one`select private.settle_due_credits()`;
    } else {
      const [row] = await one`select public.get_credit_balance(${tenantId})::float as balance`;
      expect(row?.balance).toBeGreaterThanOrEqual(0);
    }
  });

  await sql`select private.settle_due_credits()`;
  const debits = await sql`
    select idempotency_key as key, id from public.credit_ledger where tenant_id = any (${tenantIds}) and kind = 'debit'`;
  expect(new Map(debits.map(({ key, id }) => [key, id]))).toEqual(allowed);
  const kinds = await sql`
    select kind::text from public.credit_ledger where tenant_id = any (${tenantIds}) group by kind order by kind`;
  expect(kinds.map(({ kind }) => kind)).toEqual(["debit", "expiry", "grant"]);
  for (const tenantId of tenantIds) {
    expect(await faultsOf(tenantId)).toEqual([]);
    const [grants] = await sql`
      select coalesce(sum(granted) filter (where month_end is null), 0)::int as granted,
        coalesce(sum(granted) filter (where month_end is not null), 0)::int as paid
      from private.credit_grants where tenant_id = ${tenantId}`;
    expect(grants).toEqual({ granted: granted.get(tenantId), paid: paid.get(tenantId) });
  }
}, 300_000);

test("a pass of the schedule does not wait for an account that is in use, and the next one settles it", async () => {
  const tenantIds = await Promise.all(Array.from({ length: 20 }, () => newTenant(sql)));
  for (const id of tenantIds) await give(sql, id, 10, 1);
  const [user, schedule] = [connect(), connect()];
  const left = async () => {
    await schedule`select private.settle_due_credits()`;
    const [accounts] = await schedule`
      select count(*)::int from private.credit_accounts where tenant_id = any (${tenantIds}) and balance > 0`;
    return accounts?.count;
  };
  await user.begin(async (transaction) => {
    await transaction`select private.lock_credit_account(${tenantIds[0] as string})`;
    await sql`update public.tenants set clock_offset = interval '2 hours' where id = any (${tenantIds})`;
    await until(async () => (await left()) === 1); // others may be in the hands of another pass
  });
  await until(async () => (await left()) === 0);
  const entries = await sql`
    select kind::text, count(*)::int from public.credit_ledger where tenant_id = any (${tenantIds}) group by kind order by kind`;
  expect(entries).toEqual([
    { kind: "expiry", count: 20 },
    { kind: "grant", count: 20 },
  ]);
});

test("a tenant's first invoice, which links its customer, and a debit do not wait for each other", async () => {
  const tenantId = await newTenant(sql, "free");
  await give(sql, tenantId, 10, null);
  const [taker, teller] = [connect(), connect()];
  const [{ pid }] = await teller<[{ pid: number }]>`select pg_backend_pid() as pid`;
  const now = Math.floor(Date.now() / 1_000);
  const paid = invoice(
    {
      id: `in_${tenantId}`,
      customer: `cus_${tenantId}`,
      subscription: `sub_${tenantId}`,
      tenantId,
      status: "paid",
      attempts: 1,
      created: now,
      lines: [
        {
          id: `il_${tenantId}`,
          price: "price_startup_monthly",
          amount: 4_900,
          start: now - DAY_SECONDS,
          end: now + 27 * DAY_SECONDS,
        },
      ],
    },
    "2026-10-28.endive",
  );
  let told: ReturnType<typeof ingest> | undefined;
  await taker.begin(async (transaction) => {
    const connection = transaction as unknown as Sql;
    await connection`select private.lock_credit_account(${tenantId})`; // as a debit does
    told = ingest(teller, event(`evt_${tenantId}`, "invoice.paid", now, paid));
    await until(async () => {
      const [state] = await connection`select wait_event_type from pg_stat_activity where pid = ${pid}`;
      return state?.wait_event_type === "Lock";
    });
    expect(await debit(connection, tenantId, 6)).toMatchObject({ allowed: true, balance: "4" });
  });
  expect(await told).toMatchObject({ status: "processed", error: null });
  expect(await balanceOf(tenantId)).toBe(304);
  expect(await faultsOf(tenantId)).toEqual([]);
});

test("a tenant can be deleted while its credits are taken", async () => {
  const tenantId = await newTenant(sql);
  await give(sql, tenantId, 10, null);
  const [taker, deleter] = [connect(), connect()];
  const [{ pid }] = await deleter<[{ pid: number }]>`select pg_backend_pid() as pid`;
  let deletion: Promise<unknown> | undefined;
  await taker.begin(async (transaction) => {
    const connection = transaction as unknown as Sql;
    await connection`select private.lock_credit_account(${tenantId})`; // as a debit does
    deletion = deleter`delete from public.tenants where id = ${tenantId}`.execute();
    await until(async () => {
      const [state] = await connection`select wait_event_type from pg_stat_activity where pid = ${pid}`;
      return state?.wait_event_type === "Lock";
    });
    expect(await debit(connection, tenantId, 6)).toMatchObject({ allowed: true, balance: "4" });
  });
  await deletion;
  const left = await sql`select id from public.credit_ledger where tenant_id = ${tenantId}`;
  expect(left).toEqual([]);
});

test("the schedule leaves a tenant that is being deleted", async () => {
  const tenantId = await newTenant(sql);
  await give(sql, tenantId, 10, 1);
  await sql`update public.tenants set clock_offset = interval '2 hours' where id = ${tenantId}`;
  const [settler, deleter] = [connect(), connect()];
  await settler`set lock_timeout = '10s'`; // to wait for the deletion, which then waits for it, would be a circle
  await deleter.begin(async (transaction) => {
    await transaction`select from public.tenants where id = ${tenantId} for update`; // as a deletion begins
    await settler`select private.settle_due_credits()`;
    await transaction`delete from public.tenants where id = ${tenantId}`;
  });
  const left = await sql`select tenant_id from private.credit_accounts where tenant_id = ${tenantId}`;
  expect(left).toEqual([]);
});
