import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { Client } from "../helpers/connections.ts";
import { arrayOf, Ledger, type QuotaRow, tenantWithLimits, usedOf } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";

const WORKERS = 32;
const SUBJECTS = ["", "ann", "ben", "cem"];

const { databaseUrl } = inject("stack");
const control = postgres(databaseUrl, { max: 2, onnotice: () => {} });
afterAll(() => control.end());

const integer = (from: number, to: number) => from + Math.floor(Math.random() * (to - from + 1));
const oneOf = <T>(items: readonly T[]) => items[integer(0, items.length - 1)] as T;

interface Outcome {
  terminated: number;
  lost: number;
}

/**
 * Runs `operate`, which says how many operations it did, in 32 workers until there are enough, and meanwhile ends the
 * connections of `terminations` random workers, evenly over the operations.
 */
async function underTerminations(
  operations: number,
  terminations: number,
  operate: (client: Client) => Promise<number>,
  watch: () => Promise<void>,
): Promise<Outcome> {
  const name = `worker ${randomUUID()}`;
  let done = 0;
  const clients = Array.from({ length: WORKERS }, () => new Client(databaseUrl, name));
  const load = Promise.all(
    clients.map(async (client) => {
      while (done < operations) {
        const count = await operate(client);
        done += count;
      }
    }),
  );
  let hasEnded = false;
  const ended = load.finally(() => {
    hasEnded = true;
  });
  ended.catch(() => {}); // awaited below
  let terminated = 0;
  while (!hasEnded) {
    if (terminated < terminations && done >= (terminated * operations) / (terminations + 1)) {
      const [victim] = await control`
        select pg_terminate_backend(pid) as was_there from pg_stat_activity
        where application_name = ${name} order by state = 'active' desc, random() limit 1`;
      if (victim?.was_there) terminated++;
    } else {
      await watch();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  await ended;
  await Promise.all(clients.map((client) => client.end()));
  return { terminated, lost: clients.reduce((sum, client) => sum + client.lost, 0) };
}

test("connections that end at any moment neither lose nor add a grant: what was granted is the cap exactly", async () => {
  const operations = scaled(3_000, 100_000);
  const terminations = scaled(20, 220);
  const cap = operations * 3;
  const tenantId = await tenantWithLimits(control, [
    { metric: "tokens", limit: cap },
    { metric: "tokens", limit: Math.floor(cap * 0.4), per: "subject" },
    { metric: "embeddings", limit: Math.floor(cap * 0.2) },
  ]);
  const ledger = await Ledger.create(control, tenantId);
  let heard = 0;
  let replays = 0;
  let denials = 0;
  const hear = (answer: QuotaRow, amount: number) => {
    if (answer.allowed) {
      expect(Number(answer.used)).toBeLessThanOrEqual(Number(answer.limit_value));
      if (answer.metric === "tokens") heard += amount;
    } else {
      denials++;
      if (answer.reason !== "denied_together") expect(answer.decision_id).toEqual(expect.any(String));
    }
  };
  /** Until it is answered, as a caller with a key may; what was granted before must be what is answered. */
  const insist = async (client: Client, keys: string[], work: (sql: Sql) => Promise<QuotaRow[]>) => {
    const before = client.lost;
    const answers = await client.insist(work);
    if (client.lost > before) {
      replays++;
      const noted = await client.insist(
        (sql) => sql`
          select used::text from ${sql(ledger.schema)}.entries e
          join unnest(${arrayOf(keys)}::text[]) with ordinality k (key, ordinal) using (key) order by k.ordinal`,
      );
      expect(answers.filter(({ allowed }) => allowed).map(({ used }) => used)).toEqual(
        noted.map(({ used }) => used),
      );
    }
    return answers;
  };

  const operate = async (client: Client): Promise<number> => {
    const subject = oneOf(SUBJECTS);
    const amount = integer(1, 7);
    const key = randomUUID();
    const dice = Math.random();
    if (dice < 0.45) {
      const answer = await client.attempt((sql) => ledger.consume(sql, "tokens", amount, subject));
      if (answer) hear(answer, amount);
      return 1;
    }
    if (dice < 0.6) {
      const [answer] = await insist(client, [key], async (sql) => [
        await ledger.consume(sql, "tokens", amount, subject, key),
      ]);
      hear(answer as QuotaRow, amount);
      return 1;
    }
    if (dice < 0.7) {
      const amounts = Array.from({ length: integer(1, 10) }, () => integer(1, 7));
      const keys = Math.random() < 0.5 ? amounts.map(() => randomUUID()) : undefined;
      const call = (sql: Sql) => ledger.consumeBatch(sql, "tokens", amounts, subject, keys);
      const answers = keys ? await insist(client, keys, call) : await client.attempt(call);
      for (const [i, answer] of answers?.entries() ?? []) hear(answer, amounts[i] as number);
      return 1;
    }
    if (dice < 0.8) {
      const keys = Math.random() < 0.5 ? [randomUUID(), randomUUID()] : undefined;
      const items = ["tokens", "embeddings"].map((metric, i) => ({
        ...{ metric, amount, subject },
        ...(keys && { idempotency_key: keys[i] as string }),
      }));
      if (Math.random() < 0.5) items.reverse();
      const order = items.flatMap(({ idempotency_key: itemKey }) => itemKey ?? []);
      const call = (sql: Sql) => ledger.consumeTogether(sql, items);
      const answers = keys ? await insist(client, order, call) : await client.attempt(call);
      for (const answer of answers ?? []) hear(answer, amount);
      return 1;
    }
    const reserve = (sql: Sql) => ledger.reserve(sql, "tokens", amount, subject, key);
    const [answer] = await insist(client, [key], async (sql) => [await reserve(sql)]);
    if (!answer?.allowed) return 1;
    const id = answer.reservation_id as string;
    let held = amount;
    const extended = await client.attempt((sql) => ledger.extend(sql, id, 2, subject));
    if (extended?.allowed) held += 2;
    if (!extended) return 2; // how much it holds is not known: it stays open
    await client.attempt((sql) => ledger.end(sql, id, held, integer(0, held), subject));
    return 3;
  };
  const watch = async () => {
    expect(await usedOf(control, tenantId, "tokens")).toBeLessThanOrEqual(cap);
    await control`select private.fold_quota_denials()`;
  };
  const { terminated, lost } = await underTerminations(operations, terminations, operate, watch);
  expect(terminated).toBeGreaterThanOrEqual(terminations);
  expect(lost).toBeGreaterThanOrEqual(terminations * 0.9);
  expect(replays).toBeGreaterThan(0);
  expect(denials).toBeGreaterThan(0);

  // What was left open is given back, and the rest is taken.
  const open = await control`
    select id, amount::int, subject from private.quota_reservations where tenant_id = ${tenantId} and status = 'open'`;
  for (const { id, amount, subject } of open) await ledger.end(control, id, amount, 0, subject);
  for (const subject of SUBJECTS) {
    for (let size = cap; size >= 1; ) {
      const answer = await ledger.consume(control, "tokens", size, subject);
      if (!answer.allowed) size = Math.floor(size / 2);
    }
  }
  const { amount, grants, denials: denied } = await ledger.totals(control, "tokens");
  expect(amount).toBe(cap);
  expect(heard).toBeLessThanOrEqual(cap); // none of it was given back
  expect(await usedOf(control, tenantId, "tokens")).toBe(cap);
  for (const subject of SUBJECTS.slice(1)) {
    const taken = await ledger.totals(control, "tokens", subject);
    expect(taken.amount).toBeLessThanOrEqual(cap * 0.4);
    expect(await usedOf(control, tenantId, "tokens", subject)).toBe(taken.amount);
  }
  const embeddings = await ledger.totals(control, "embeddings");
  expect(await usedOf(control, tenantId, "embeddings")).toBe(embeddings.amount);
  const checks = await control`
    select metric, allowed::int, denied::int from public.get_quota_checks(${tenantId}) order by metric`;
  expect(checks).toEqual([
    { metric: "embeddings", allowed: embeddings.grants, denied: embeddings.denials },
    { metric: "tokens", allowed: grants, denied },
  ]);
  await ledger.drop(control);
}, 900_000);

test("the same harness shows that reading first and then writing overshoots", async () => {
  const operations = scaled(1_500, 20_000);
  const cap = operations * 2;
  const schema = `naive_${randomUUID().replaceAll("-", "")}`;
  await control.unsafe(`
    create schema ${schema};
    create table ${schema}.counter (used bigint not null);
    insert into ${schema}.counter values (0);
    create table ${schema}.grants (amount bigint not null)`);
  const operate = async (client: Client): Promise<number> => {
    const amount = integer(1, 7);
    const read = await client.attempt(
      async (sql) => (await sql`select used::float as used from ${sql(schema)}.counter`)[0],
    );
    if (read && read.used + amount <= cap) {
      await client.attempt(
        (sql) => sql`
          with taken as (update ${sql(schema)}.counter set used = ${read.used + amount})
          insert into ${sql(schema)}.grants values (${amount})`,
      );
    }
    return 1;
  };
  const { terminated } = await underTerminations(operations, scaled(10, 50), operate, async () => {});
  expect(terminated).toBeGreaterThan(0);
  const [end] = await control`
    select (select used from ${control(schema)}.counter)::float as used,
      (select sum(amount) from ${control(schema)}.grants)::float as granted`;
  expect(end?.used).toBeLessThanOrEqual(cap);
  expect(end?.granted).toBeGreaterThan(cap);
  await control.unsafe(`drop schema ${schema} cascade`);
}, 900_000);
