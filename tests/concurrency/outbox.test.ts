import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { arrayOf } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { newTenant } from "../helpers/usage.ts";

const WORKERS = 16;

let database: Database;
let control: Sql;
let workers: Sql[];

beforeAll(async () => {
  database = await startDatabase(); // without a schedule: nobody claims but the test
  const connect = () => postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  control = connect();
  workers = Array.from({ length: WORKERS }, connect);
});
afterAll(async () => {
  await Promise.all([control, ...(workers ?? [])].map((sql) => sql?.end()));
  await database?.stop();
});
beforeEach(async () => {
  await control`truncate public.alert_notifications, private.outbox, private.failing_lanes cascade`;
});

const integer = (from: number, to: number) => from + Math.floor(Math.random() * (to - from + 1));
const oneOf = <T>(items: readonly T[]) => items[integer(0, items.length - 1)] as T;
const shuffled = <T>(items: readonly T[]) => items.toSorted(() => Math.random() - 0.5);
const pause = () => new Promise((resolve) => setTimeout(resolve, integer(0, 5)));

interface Claimed {
  id: string;
  attempt: number;
  alert_id: string;
  channel_id: string;
  /** Which message of its alert it is. */
  place: number;
}

const claim = (sql: Sql, maxRows: number, leaseSeconds = 60) => sql<Claimed[]>`
  select id, attempt, alert_id, channel_id, (payload ->> 'place')::int as place
  from public.claim_alert_notifications(${maxRows}, ${leaseSeconds})`;

interface Outcome {
  id: string;
  ok: boolean;
  attempt?: number;
  retry_after_seconds?: number;
  is_permanent?: boolean;
  is_gone?: boolean;
  blocks_channel?: boolean;
}
async function complete(sql: Sql, outcomes: Outcome[]): Promise<number> {
  const [answer] =
    await sql`select public.complete_alert_notifications(${sql.json(outcomes as never)}) as count`;
  return answer?.count;
}

/** Messages of alerts, `places` of each to each channel, one after the other. */
async function fill(alerts: number, channelIds: string[], places = 1): Promise<number> {
  await control`
    insert into public.alert_notifications (alert_id, channel_id, kind, lane, payload, created_at, next_attempt_at)
    select a.id, c, 'alert', c::text, jsonb_build_object('place', p), now() - interval '1 hour' + p * interval '1 second',
      now() - random() * interval '1 hour'
    from (select gen_random_uuid() as id from generate_series(1, ${alerts})) a
    cross join unnest(${arrayOf(channelIds)}::uuid[]) c
    cross join generate_series(1, ${places}) p`;
  return alerts * channelIds.length * places;
}

/** Channels of a new tenant; each is a lane of its own. */
async function newChannels(count: number): Promise<string[]> {
  const tenantId = await newTenant(control);
  const made = await control`
    insert into public.alert_channels (tenant_id, type, name)
    select ${tenantId}, 'console', 'Log' from generate_series(1, ${count}) returning id`;
  return made.map(({ id }) => id);
}
const statuses = async () =>
  Object.fromEntries(
    (await control`select status::text, count(*)::int from public.alert_notifications group by 1`).map(
      ({ status, count }) => [status, count],
    ),
  );

test("however many claim, a message is with one of them, and each is claimed once", async () => {
  const count = await fill(scaled(60, 600), await newChannels(10));
  const claims: string[] = [];
  await Promise.all(
    workers.map(async (sql) => {
      while (claims.length < count) {
        const claimed = await claim(sql, integer(1, 60));
        claims.push(...claimed.map(({ id }) => id));
        await complete(
          sql,
          shuffled(claimed).map(({ id, attempt }) => ({ id, attempt, ok: true })),
        );
      }
    }),
  );
  expect(claims).toHaveLength(count);
  expect(new Set(claims).size).toBe(count);
  expect(await statuses()).toEqual({ sent: count });
}, 120_000);

test("what a silent worker has is with it until its lease is over, and then with one other", async () => {
  const count = await fill(scaled(20, 100), await newChannels(5));
  const claims: { id: string; attempt: number; claimedAt: number; leasedUntil: number }[] = [];
  let left = count;
  await Promise.all(
    workers.map(async (sql, index) => {
      while (left > 0) {
        // A claim and its times are of one statement's transaction.
        const claimed = await sql<(Claimed & { claimed_at: Date })[]>`
          select id, attempt, now() as claimed_at from public.claim_alert_notifications(${integer(1, 9)}, 1)`;
        for (const { id, attempt, claimed_at } of claimed) {
          const claimedAt = claimed_at.getTime();
          claims.push({ id, attempt, claimedAt, leasedUntil: claimedAt + 1_000 });
        }
        const isSilent = index % 2 === 0 && claimed.every(({ attempt }) => attempt < 3);
        if (!isSilent) {
          const outcomes = claimed.map(({ id, attempt }) => ({ id, attempt, ok: true }));
          const completed = await complete(sql, outcomes);
          left -= completed;
        }
        if (claimed.length === 0) await pause();
      }
    }),
  );
  expect(await statuses()).toEqual({ sent: count });
  expect(claims.length).toBeGreaterThan(count);
  const ids = new Set(claims.map(({ id }) => id));
  expect(ids.size).toBe(count);
  for (const id of ids) {
    const own = claims.filter((one) => one.id === id).sort((a, b) => a.attempt - b.attempt);
    expect(own.map(({ attempt }) => attempt)).toEqual(own.map((_, n) => n + 1));
    for (const [n, { claimedAt }] of own.entries()) {
      if (n > 0) expect(claimedAt).toBeGreaterThanOrEqual(own[n - 1]?.leasedUntil as number);
    }
  }
}, 120_000);

test("messages of one alert to one channel leave in their order", async () => {
  const count = await fill(scaled(30, 200), await newChannels(4), 4);
  const reported = new Map<string, Set<number>>();
  const reportedOf = ({ alert_id, channel_id }: Claimed) => {
    const key = `${alert_id} ${channel_id}`;
    const places = reported.get(key) ?? new Set();
    reported.set(key, places);
    return places;
  };
  let left = count;
  await Promise.all(
    workers.map(async (sql, index) => {
      while (left > 0) {
        const claimed = await claim(sql, integer(1, 30), 1);
        for (const message of claimed) {
          // All before it were reported, or this one could not have been had.
          const before = Array.from({ length: message.place - 1 }, (_, n) => n + 1);
          expect([...reportedOf(message)]).toEqual(expect.arrayContaining(before));
        }
        await pause();
        if (index === 0 && claimed.every(({ attempt }) => attempt < 3)) continue; // has fallen silent
        const outcomes = claimed.map(({ id, attempt }) => {
          const dice = Math.random();
          return { id, attempt, ok: dice < 0.9, is_permanent: dice >= 0.9 };
        });
        for (const message of claimed) reportedOf(message).add(message.place);
        const completed = await complete(sql, outcomes);
        left -= completed;
      }
    }),
  );
  const { sent = 0, dead = 0, ...others } = await statuses();
  expect(others).toEqual({});
  expect(sent + dead).toBe(count);
  expect(dead).toBeGreaterThan(0);
}, 120_000);

test("at most 20 messages of a lane are under way, one while it is failing, however many claim at once", async () => {
  const [well, failing] = (await newChannels(2)) as [string, string];
  const count = await fill(scaled(100, 1_000), [well]);
  await fill(20, [failing]);
  const underWay = new Map([
    [well, 0],
    [failing, 0],
  ]);
  const most = new Map(underWay);
  const change = (lane: string, by: number) => {
    const now = (underWay.get(lane) ?? 0) + by;
    underWay.set(lane, now);
    most.set(lane, Math.max(most.get(lane) ?? 0, now));
  };
  let left = count;
  await control`
    insert into private.failing_lanes (lane, failures, retry_at) values (${failing}, 1, now() - interval '1 second')`;
  const tried: string[] = [];
  await Promise.all(
    workers.map(async (sql) => {
      while (left > 0) {
        const claimed = await claim(sql, 100);
        for (const { channel_id } of claimed) change(channel_id, 1);
        await pause();
        for (const { channel_id, id } of claimed) {
          change(channel_id, -1);
          if (channel_id === failing) tried.push(id);
        }
        const outcomes = claimed.map(({ id, attempt, channel_id }) => {
          const ok = channel_id === well;
          return { id, attempt, ok, blocks_channel: !ok };
        });
        await complete(sql, outcomes);
        left -= claimed.filter(({ channel_id }) => channel_id === well).length;
      }
    }),
  );
  expect([...most.values()]).toEqual([20, 1]);
  expect(tried.length).toBeGreaterThan(0);
  const [lane] = await control`select failures from private.failing_lanes where lane = ${failing}`;
  expect(lane?.failures).toBe(1 + tried.length);
}, 120_000);

test("completes of the same messages and lanes, in any order, do not wait for each other in a circle", async () => {
  for (let round = 0; round < scaled(20, 100); round++) {
    await control`delete from public.alert_notifications`; // what failed in the rounds before would be due again
    const channelIds = await newChannels(8);
    const count = await fill(20, channelIds);
    const claimed = await claim(control, 1_000);
    expect(claimed).toHaveLength(count);
    // In turn with the completes, whose lock this is.
    const isFailing = () => control`
      with turn as materialized (select pg_advisory_xact_lock(hashtext('meterbase.failing_lanes')))
      insert into private.failing_lanes (lane, failures, retry_at)
      select c, 1, now() from turn, unnest(${arrayOf(channelIds)}::text[]) c on conflict do nothing`;
    await isFailing();
    await Promise.all(
      workers.map(async (sql, index) => {
        // Everybody reports much the same messages, or other ones of the same lanes; some lanes heal, and some break.
        const own = round % 2 === 0 ? claimed : claimed.filter((_, n) => n % WORKERS === index);
        const well = new Set(shuffled(channelIds).slice(0, 4));
        const outcomes = shuffled(own)
          .slice(0, 40)
          .map(({ id, attempt, channel_id }) => {
            if (Math.random() < 0.05) return { id, attempt, ok: false, is_gone: true };
            const ok = well.has(channel_id);
            return { id, attempt, ok, blocks_channel: !ok };
          });
        await complete(sql, outcomes);
        if (index % 4 === 0) {
          await sql`update public.alert_channels set enabled = false where id = ${oneOf(channelIds)}`;
          await isFailing();
        }
        if (index % 4 === 1) await sql`delete from public.alert_channels where id = ${oneOf(channelIds)}`;
        if (index % 4 === 2) await claim(sql, 100, 1);
      }),
    );
    expect(await statuses()).not.toHaveProperty("pending");
  }
}, 300_000);
