import { randomUUID } from "node:crypto";
import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import {
  DAY_SECONDS,
  event,
  ingest,
  invoice,
  type LineFields,
  subscription,
} from "../helpers/stripe_events.ts";
import { newTenant } from "../helpers/usage.ts";

/** The first failure as it came: to make it smaller would take as long as many histories. */
const ONCE = { endOnFailure: true };
/** Times are microseconds since 1970: the database has them, and a number holds them. */
const HOUR = 3_600_000_000;
const DAY = 24 * HOUR;

let sql: Sql;
beforeAll(() => {
  sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
});
afterAll(() => sql.end());

// What happens -----------------------------------------------------------------------------------------------------------

interface Line {
  price: "startup_monthly" | "startup_annual" | "enterprise_monthly" | "enterprise_annual";
  /** Days from the tenant's time. */
  end: number;
  kind: "whole" | "rest" | "refund" | "free";
  /** Days that a rest or a refund is of. */
  days: number;
}

type Action =
  | { do: "grant"; amount: number; hours: number | null }
  | { do: "debit"; amount: number; retried: boolean }
  | { do: "advance"; hours: number }
  | { do: "settle" }
  | { do: "ask"; hours: number }
  | { do: "invoice"; subscription: number; lines: Line[] }
  | { do: "end"; subscription: number };

const line: fc.Arbitrary<Line> = fc.record({
  price: fc.constantFrom("startup_monthly", "startup_annual", "enterprise_monthly", "enterprise_annual"),
  // Few, so that lines meet in a month.
  end: fc.constantFrom(-40, -3, 5, 20, 20, 20, 30, 340),
  kind: fc.constantFrom("whole", "whole", "rest", "refund", "free"),
  days: fc.integer({ min: 1, max: 200 }),
});
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("grant" as const),
      amount: fc.integer({ min: 1, max: 200 }),
      hours: fc.constantFrom(null, 1, 24, 24, 72, 300, 1_000),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant("debit" as const),
      amount: fc.integer({ min: 1, max: 300 }),
      retried: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("advance" as const),
      hours: fc.constantFrom(1, 24, 24, 72, 240, 800),
    }),
  },
  { weight: 2, arbitrary: fc.constant<Action>({ do: "settle" }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("ask" as const), hours: fc.constantFrom(1, 24, 300, 2_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("invoice" as const),
      subscription: fc.nat({ max: 1 }),
      lines: fc.array(line, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), subscription: fc.nat({ max: 1 }) }) },
);
const history = fc.array(action, { minLength: 5, maxLength: 50, size: "max" });

/** A balance that was asked for at its time. */
interface Answer {
  at: number;
  balance: number;
}

const micros = (name: string) => sql.unsafe(`(extract(epoch from ${name}) * 1000000)::bigint::float`);
const timeOf = (at: number) =>
  sql`'epoch'::timestamptz + ${`${at}`}::text::bigint * interval '1 microsecond'`;

/** The tenant's balance at a time. */
async function balanceOf(connection: Sql, tenantId: string, at: number): Promise<number> {
  const [row] = await connection`
    select public.get_credit_balance(${tenantId}, ${timeOf(at)})::float as balance`;
  return row?.balance;
}

/** The tenant's time and its balance then, while nobody else books anything, such as a pass of the schedule. */
function ask(tenantId: string): Promise<Answer> {
  return sql.begin(async (transaction) => {
    await transaction`select private.lock_credit_account(${tenantId})`;
    const [row] = await transaction`
      select ${micros("clock_timestamp() + clock_offset")} as at from public.tenants where id = ${tenantId}`;
    const at = row?.at as number;
    return { at, balance: await balanceOf(transaction as unknown as Sql, tenantId, at) };
  });
}

function fieldsOf(line: Line, id: string, now: number): LineFields {
  const end = Math.floor(now / 1e6) + line.end * DAY_SECONDS;
  const length = line.price.endsWith("annual") ? 365 : 30;
  const isPart = line.kind === "rest" || line.kind === "refund";
  return {
    id,
    price: `price_${line.price}`,
    amount: { whole: 4_900, rest: 900, refund: -900, free: 0 }[line.kind],
    start: end - Math.min(isPart ? line.days : length, length) * DAY_SECONDS,
    end,
    isProration: isPart,
  };
}

/** What was asked on the way, and answered. */
async function play(tenantId: string, steps: Action[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  const nameOf = (subscription: number) => `${tenantId}_${subscription}`;
  for (const step of steps) {
    const key = randomUUID();
    if (step.do === "grant") {
      await sql`
        select g.id from private.tenant_now(${tenantId}) t (now) cross join lateral public.grant_credits(
          ${tenantId}, ${step.amount}, 'gift', t.now + ${step.hours}::int * interval '1 hour', ${key}) g`;
    } else if (step.do === "debit") {
      const debit = () =>
        sql`select * from public.debit_credits(${tenantId}, ${step.amount}, 'work', ${key})`;
      const [before, [answer], [again]] = [
        await ask(tenantId),
        await debit(),
        step.retried ? await debit() : [],
      ];
      // What nobody has booked may have become due: what has begun is not in the balance before it is booked.
      if (!answer?.allowed) expect(before.balance).toBeLessThan(step.amount);
      if (again) expect(again).toEqual(answer);
    } else if (step.do === "advance") {
      await sql`
        update public.tenants set clock_offset = clock_offset + ${step.hours} * interval '1 hour'
        where id = ${tenantId} and clock_offset + ${step.hours} * interval '1 hour' < interval '390 days'`;
    } else if (step.do === "settle") {
      await sql`select private.settle_due_credits()`;
    } else if (step.do === "ask") {
      const answer = await ask(tenantId);
      answers.push(answer);
      // Until something else happens there can only be less.
      const later = await balanceOf(sql, tenantId, answer.at + step.hours * HOUR);
      expect(later).toBeLessThanOrEqual(answer.balance);
    } else {
      const now = (await ask(tenantId)).at;
      const seconds = Math.floor(now / 1e6);
      const [customer, name] = [`cus_${tenantId}`, `sub_${nameOf(step.subscription)}`];
      const object =
        step.do === "invoice"
          ? invoice(
              {
                id: `in_${key}`,
                customer,
                subscription: name,
                tenantId,
                status: "paid",
                attempts: 1,
                created: seconds,
                lines: step.lines.map((one, i) => fieldsOf(one, `il_${key}_${i}`, now)),
              },
              "2026-10-28.endive",
            )
          : subscription(
              {
                id: name,
                customer,
                tenantId,
                price: "price_startup_monthly",
                status: "canceled",
                start: seconds,
                end: seconds + 30 * DAY_SECONDS,
                endedAt: seconds,
              },
              "2026-10-28.endive",
            );
      const type = step.do === "invoice" ? "invoice.paid" : "customer.subscription.deleted";
      const answer = await ingest(sql, event(`evt_${key}`, type, seconds, object));
      expect([answer.status, answer.error]).toEqual([expect.stringMatching(/processed|stale/), null]);
    }
  }
  return answers;
}

// What the ledger says ---------------------------------------------------------------------------------------------------

interface Entry {
  id: number;
  kind: "grant" | "debit" | "expiry" | "correction";
  amount: number;
  balance: number;
  grants: Record<string, number>;
  at: number;
  expiresAt: number;
}

async function ledgerOf(tenantId: string): Promise<Entry[]> {
  return sql<Entry[]>`
    select id::float, kind::text, amount::float, balance::float, grants, ${micros("effective_at")} as at,
      coalesce(${micros("nullif(expires_at, 'infinity')")}, 'infinity') as "expiresAt"
    from public.credit_ledger where tenant_id = ${tenantId} order by id`;
}

/** The balance at a time: all that was booked until then, and nothing else. */
const balanceAt = (entries: Entry[], at: number) =>
  entries.reduce((sum, entry) => (entry.at <= at ? sum + entry.amount : sum), 0);

/** Goes through the entries, and holds each against those before it; what is left of each grant in the end. */
function replay(entries: Entry[]): Map<string, number> {
  const left = new Map<string, number>();
  const expiries = new Map<string, number>();
  let [balance, at] = [0, 0];
  for (const entry of entries) {
    const parts = Object.entries(entry.grants);
    expect(parts.reduce((sum, [, amount]) => sum + amount, 0)).toBe(entry.amount);
    expect(entry.at).toBeGreaterThanOrEqual(at);
    at = entry.at;
    balance += entry.amount;
    expect(entry.balance).toBe(balance);

    if (entry.kind === "debit") {
      // What expires first, of that the older.
      let rest = -entry.amount;
      const expected: Record<string, number> = {};
      const inOrder = [...left.keys()].sort(
        (a, b) => (expiries.get(a) as number) - (expiries.get(b) as number) || Number(a) - Number(b),
      );
      for (const id of inOrder) {
        const part = Math.min(rest, left.get(id) as number);
        if (part > 0) expected[id] = -part;
        rest -= part;
      }
      expect(entry.grants).toEqual(expected);
    } else {
      const [id, amount] = parts[0] as [string, number];
      expect(parts).toHaveLength(1);
      if (entry.kind === "grant") {
        expect(entry.expiresAt).toBeGreaterThan(entry.at);
        expiries.set(id, entry.expiresAt);
      } else if (entry.kind === "expiry") {
        expect([entry.at, -amount]).toEqual([expiries.get(id), left.get(id)]);
      } else {
        expect(-amount).toBeLessThanOrEqual(left.get(id) as number);
      }
    }
    for (const [id, amount] of parts) left.set(id, (left.get(id) ?? 0) + amount);
    // Nothing is booked while something else should have expired before.
    for (const [id, rest] of left)
      if (rest > 0 && (expiries.get(id) as number) < entry.at)
        throw new Error(`entry ${entry.id} comes after grant ${id} should have expired`);
  }
  return left;
}

test("the ledger of any history tells each balance of its past", async () => {
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 10 }),
      async (steps, fractions) => {
        const tenantId = await newTenant(sql, "free");
        const start = (await ask(tenantId)).at;
        const answers = await play(tenantId, steps);
        const { at: now, balance: current } = await ask(tenantId);

        // Asked again, of what was asked at its time, of any other, and of the moments in which something happens.
        const booked = await ledgerOf(tenantId);
        const times = [
          ...answers.map(({ at }) => at),
          ...fractions.map((part) => Math.floor(start + part * (now - start))),
          ...booked.flatMap(({ at, expiresAt }) => [at, at - 1, expiresAt, expiresAt - 1]),
          start - DAY,
          now,
        ].filter((at) => at <= now);
        const before = new Map<number, number>();
        for (const at of times) before.set(at, await balanceOf(sql, tenantId, at));
        for (const { at, balance } of answers) expect([at, before.get(at)]).toEqual([at, balance]);
        expect(before.get(now)).toBe(current);

        // Once all that was due is booked, the entries alone say the same.
        await sql`
          select private.settle_credits(a.tenant_id, private.booking_time(a.tenant_id))
          from private.lock_credit_account(${tenantId}) a`;
        const entries = await ledgerOf(tenantId);
        expect(entries.slice(0, booked.length)).toEqual(booked);
        for (const [at, balance] of before) {
          expect([at, balanceAt(entries, at)]).toEqual([at, balance]);
          expect([at, await balanceOf(sql, tenantId, at)]).toEqual([at, balance]);
        }

        const left = replay(entries);
        const grants = await sql`
        select id::text, remaining::float, granted::float from private.credit_grants where tenant_id = ${tenantId}`;
        expect(new Map(grants.map(({ id, remaining }) => [id, remaining]))).toEqual(
          new Map(grants.map(({ id }) => [id, left.get(id) ?? 0])),
        );
        const granted = (id: string) =>
          entries
            .filter(({ kind }) => kind === "grant" || kind === "correction")
            .reduce((sum, entry) => sum + (entry.grants[id] ?? 0), 0);
        for (const grant of grants) expect([grant.id, grant.granted]).toEqual([grant.id, granted(grant.id)]);
        const [account] = await sql`
        select balance::float, due_at > private.tenant_now(tenant_id) as "isSettled",
          due_at is not distinct from least((
            select min(expires_at) from private.credit_grants g where g.tenant_id = a.tenant_id and remaining > 0
          ), (
            select min(month_start) from private.credit_months m
            where m.tenant_id = a.tenant_id and month_start > private.tenant_now(m.tenant_id)
          ), 'infinity') as "isDueInTime"
        from private.credit_accounts a where tenant_id = ${tenantId}`;
        expect(account).toEqual({
          balance: balanceAt(entries, Infinity),
          isSettled: true,
          isDueInTime: true,
        });

        // And of the future what is left then, if nothing else happens.
        for (const days of [1, 10, 40, 400]) {
          const expiring = await sql`
          select coalesce(sum(remaining), 0)::float as sum from private.credit_grants
          where tenant_id = ${tenantId} and expires_at <= ${timeOf(now + days * DAY)}`;
          expect(await balanceOf(sql, tenantId, now + days * DAY)).toBe(
            balanceAt(entries, Infinity) - expiring[0]?.sum,
          );
        }
        await sql`delete from public.tenants where id = ${tenantId}`;
      },
    ),
    { ...ONCE, numRuns: scaled(40, 600) },
  );
}, 900_000);
