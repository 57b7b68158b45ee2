import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { Ledger, tenantWithLimits } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const CONNECTIONS = scaled(32, 64);
const LIMIT = 1_000;

let database: Database;
let control: Sql;
let connections: Sql[];

beforeAll(async () => {
  database = await startDatabase(); // without a schedule, and without anybody who sends what is told
  const connect = () => postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  control = connect();
  connections = Array.from({ length: CONNECTIONS }, connect);
  await control`update public.alert_rules set enabled = type = 'usage_threshold', threshold = 90 where type = 'usage_threshold'`;
  await control`insert into public.alert_channels (type, name) values ('console', 'Log')`;
});
afterAll(async () => {
  await Promise.all([control, ...(connections ?? [])].map((sql) => sql?.end()));
  await database?.stop();
});

const integer = (from: number, to: number) => from + Math.floor(Math.random() * (to - from + 1));
const oneOf = <T>(items: readonly T[]) => items[integer(0, items.length - 1)] as T;

/** Evaluates on two connections until `work` is done, once at least after its end. */
async function evaluatedMeanwhile<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  work
    .catch(() => {})
    .finally(() => {
      isOver = true;
    });
  const evaluators = [0, 1].map(() => postgres(database.databaseUrl, { max: 1, onnotice: () => {} }));
  const passes = evaluators.map(async (sql) => {
    for (let isLast = false; !isLast; ) {
      isLast = isOver;
      await sql`select public.evaluate_alert_rules()`;
    }
    await sql.end();
  });
  const [result] = await Promise.all([work, ...passes]);
  return result;
}

const day = (metric: string) => ({ metric, limit: LIMIT, period: "day" });

/** A tenant of which rules, besides the operator's at 90 %, are told at 50, 80 and 95 % of any metric's day. */
async function tenantWithRules(metrics: string[]): Promise<string> {
  const tenantId = await tenantWithLimits(control, metrics.map(day));
  await control`
    insert into public.alert_rules (tenant_id, name, type, threshold)
    values (${tenantId}, 'Steps', 'usage_threshold', null), (${tenantId}, 'Half', 'quota_warning', 50)`;
  await control`insert into public.alert_channels (tenant_id, type, name) values (${tenantId}, 'console', 'Log')`;
  return tenantId;
}
const THRESHOLDS = [50, 80, 90, 95];

/** A ledger of such a tenant that knows of each entry when its transaction began, as an alert knows it. */
async function newLedger(metrics: string[]): Promise<Ledger> {
  const ledger = await Ledger.create(control, await tenantWithRules(metrics));
  await control`alter table ${control(ledger.schema)}.entries add column began_at timestamptz not null default now()`;
  return ledger;
}

interface Crossing {
  metric: string;
  threshold: number;
  /** How much was used before and after the transaction that opened the alert; null where it took nothing. */
  before: number | null;
  after: number | null;
}

/** Where the alerts of a tenant came from: a row for each time that one was told. */
const crossingsOf = ({ schema, tenantId }: Ledger) => control<Crossing[]>`
  select a.data ->> 'metric' as metric, (a.data ->> 'threshold')::int as threshold, t.before::int, t.after::int
  from public.alerts a
  join public.alert_notifications n on n.alert_id = a.id and n.payload ->> 'event' = 'opened'
  left join lateral (
    select min(e.used - e.amount) as before, max(e.used) as after from ${control(schema)}.entries e
    where e.began_at = a.opened_at and e.tenant_id = ${tenantId} and e.metric = a.data ->> 'metric' and e.amount > 0
  ) t on true
  where a.data ->> 'tenant_id' = ${tenantId}
  order by 1, 2`;

function expectCrossed(crossings: readonly Crossing[], metric: string, used: number): void {
  const own = crossings.filter((crossing) => crossing.metric === metric);
  expect(own.map(({ threshold }) => threshold)).toEqual(
    THRESHOLDS.filter((threshold) => 100 * used >= threshold * LIMIT),
  );
  for (const { threshold, before, after } of own) {
    expect(before ?? Number.NaN).toBeLessThan((threshold * LIMIT) / 100);
    expect(after ?? Number.NaN).toBeGreaterThanOrEqual((threshold * LIMIT) / 100);
  }
}

test("however many take a day's quota, each threshold has one alert, of the transaction that crossed it", async () => {
  for (let round = 0; round < scaled(2, 10); round++) {
    const ledger = await newLedger(["tokens", "embeddings"]);
    const take = async (sql: Sql) => {
      const amount = integer(1, 9);
      const dice = Math.random();
      if (dice < 0.5) return [await ledger.consume(sql, "tokens", amount, "")];
      if (dice < 0.6) return await ledger.consumeBatch(sql, "tokens", [amount, 1, 20, 2], "ann");
      if (dice < 0.7) return [await ledger.reserve(sql, "tokens", amount, "ben")];
      const items = ["tokens", "embeddings"].map((metric) => ({ metric, amount, subject: "" }));
      return await ledger.consumeTogether(sql, Math.random() < 0.5 ? items : items.toReversed());
    };
    await evaluatedMeanwhile(
      Promise.all(
        connections.map(async (sql) => {
          for (let isFull = false; !isFull; ) isFull = (await take(sql)).some(({ allowed }) => !allowed);
        }),
      ),
    );
    const crossings = await crossingsOf(ledger);
    for (const metric of ["tokens", "embeddings"]) {
      expectCrossed(crossings, metric, (await ledger.totals(control, metric)).amount);
    }
    expect(crossings.length).toBeGreaterThanOrEqual(THRESHOLDS.length);
    await ledger.drop(control);
  }
}, 300_000);

test("a crossing that is rolled back leaves no alert, and the next one has its own", async () => {
  let kept = 0;
  let undone = 0;
  for (let round = 0; round < scaled(4, 30); round++) {
    const ledger = await newLedger(["tokens"]);
    const share = oneOf([0, 0.5, 0.9, 1]); // of takes that are undone
    await evaluatedMeanwhile(
      Promise.all(
        connections.slice(0, 16).map(async (sql) => {
          for (let i = 0; i < 3; i++) {
            await sql`begin`;
            await ledger.consume(sql, "tokens", integer(100, 400), "");
            const isUndone = Math.random() < share;
            await (isUndone ? sql`rollback` : sql`commit`);
            if (isUndone) undone++;
            else kept++;
          }
        }),
      ),
    );
    const { amount } = await ledger.totals(control, "tokens");
    expectCrossed(await crossingsOf(ledger), "tokens", amount);
    await ledger.drop(control);
  }
  expect(Math.min(kept, undone)).toBeGreaterThan(0);
}, 300_000);

test("takers of several metrics, evaluators, members and whoever changes rules never wait in a circle, and no crossing is missed", async () => {
  const metrics = ["tokens", "embeddings", "chat_messages"];
  const tenantIds = await Promise.all([0, 1, 2].map(() => tenantWithRules(metrics)));
  const faults: string[] = [];
  let takes = 0;
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      faults.push(`${what}: ${code} ${message}`);
    }
  };

  const actions: Record<string, (sql: Sql, tenantId: string) => Promise<unknown>> = {
    take: (sql, tenantId) => {
      takes++;
      const items = metrics
        .filter(() => Math.random() < 0.7)
        .map((metric) => ({ metric, amount: integer(1, 60), subject: oneOf(["", "ann"]) }));
      if (items.length === 0) return Promise.resolve();
      if (Math.random() < 0.5) items.reverse();
      return sql`select public.consume_quotas(${tenantId}, ${sql.json(items)})`;
    },
    "take for all": (sql) => {
      const batches = tenantIds.map((id) => ({ tenant_id: id, metric: oneOf(metrics), amounts: [5, 9] }));
      return sql`select public.consume_quota_batches(${sql.json(batches)})`;
    },
    settle: async (sql, tenantId) => {
      const [held] =
        await sql`select reservation_id as id from public.reserve_quota(${tenantId}, 'tokens', 5)`;
      if (held?.id) await sql`select public.settle_reservation(${held.id}, ${integer(0, 40)})`;
    },
    "next day": (sql, tenantId) =>
      sql`update public.tenants set clock_offset = least(clock_offset + interval '24 hours', interval '400 days') where id = ${tenantId}`,
    resolve: (sql, tenantId) =>
      sql`select public.resolve_alert(a.id) from (
        select id from public.alerts where data ->> 'tenant_id' = ${tenantId} and status <> 'resolved' order by random() limit 1
      ) a`,
    acknowledge: (sql, tenantId) =>
      sql`select public.acknowledge_alert(a.id) from (
        select id from public.alerts where data ->> 'tenant_id' = ${tenantId} and status = 'open' order by random() limit 1
      ) a`,
    "resolve the stale": (sql) => sql`select public.auto_resolve_stale_alerts('1 hour')`,
    "change a rule": (sql, tenantId) =>
      sql`update public.alert_rules set threshold = ${integer(1, 99)}, enabled = ${Math.random() < 0.8}
        where id = (select id from public.alert_rules where tenant_id = ${tenantId} order by random() limit 1)`,
    "change the operator's rule": (sql) =>
      sql`update public.alert_rules set threshold = ${integer(1, 99)} where tenant_id is null and type = 'usage_threshold'`,
    // A tenant has 50 at most.
    "add a rule": (sql, tenantId) =>
      sql`insert into public.alert_rules (tenant_id, name, type, threshold)
        select ${tenantId}, 'Rule', ${oneOf(["usage_threshold", "quota_warning", "overage_detected"])}, ${integer(1, 99)}
        where (select count(*) from public.alert_rules where tenant_id = ${tenantId}) < 40`,
    "delete a rule": (sql, tenantId) =>
      sql`delete from public.alert_rules
        where id = (select id from public.alert_rules where tenant_id = ${tenantId} order by random() limit 1)`,
    "change a limit": (sql, tenantId) =>
      sql`select public.set_custom_quota(${tenantId}, ${oneOf(metrics)}, ${integer(500, 2_000)}, 'day')`,
    "reset a counter": (sql, tenantId) =>
      sql`select public.reset_quota_counter(${tenantId}, ${oneOf(metrics)})`,
    "switch a channel": (sql, tenantId) =>
      sql`update public.alert_channels set enabled = not enabled where tenant_id = ${tenantId}`,
    "delete a channel": async (sql, tenantId) => {
      await sql`insert into public.alert_channels (tenant_id, type, name) values (${tenantId}, 'console', 'Another')`;
      await sql`delete from public.alert_channels where tenant_id = ${tenantId} and name = 'Another'`;
    },
    "delete a tenant": async (sql) => {
      const id = await tenantWithRules(metrics);
      await Promise.all([
        sql`delete from public.tenants where id = ${id}`,
        oneOf(takers)`select public.consume_quota(${id}, 'tokens', 900)`.catch((error) => {
          const isGone =
            error.hint === "tenant_not_found" || error.constraint_name?.endsWith("_tenant_id_fkey");
          if (!isGone) throw error;
        }),
      ]);
    },
    deliver: async (sql) => {
      const claimed = await sql`select id, attempt from public.claim_alert_notifications(100, 5)`;
      const outcomes = claimed.map(({ id, attempt: n }) => ({ id, attempt: n, ok: Math.random() < 0.8 }));
      await sql`select public.complete_alert_notifications(${sql.json(outcomes)})`;
    },
  };
  const takers = connections.filter((_, index) => index % 2 === 0);
  const others = Object.keys(actions).filter((name) => !name.startsWith("take"));
  const rounds = scaled(60, 400);
  await evaluatedMeanwhile(
    Promise.all(
      connections.map(async (sql, index) => {
        for (let i = 0; i < rounds; i++) {
          const name = index % 2 === 0 ? oneOf(["take", "take", "take for all", "settle"]) : oneOf(others);
          await attempt(
            name,
            () => actions[name]?.(sql, oneOf(tenantIds)) ?? Promise.reject(new Error(name)),
          );
        }
      }),
    ),
  );
  expect(takes).toBeGreaterThan(rounds);
  expect([...new Set(faults)]).toEqual([]);

  await control`select public.evaluate_alert_rules()`;
  const missed = await control`
    select c.metric, c.used, e.limit_value, s.threshold, r.type
    from private.quota_counters c
    join public.tenants t on t.id = c.tenant_id
    join public.entitlements e
      on e.tenant_id = c.tenant_id and e.metric = c.metric and e.period = c.period and e.per = 'tenant'
    join public.alert_rules r
      on r.enabled and r.type in ('usage_threshold', 'quota_warning') and (r.tenant_id is null or r.tenant_id = c.tenant_id)
    cross join lateral unnest(
      case when r.threshold is not null then array[r.threshold] when r.type = 'usage_threshold' then array[80, 95] else array[80] end
    ) s (threshold)
    where c.tenant_id = any (${tenantIds}) and c.subject = '' and c.period = 'day'
      and c.window_start = date_trunc('day', now() + t.clock_offset, 'UTC') and 100.0 * c.used >= e.limit_value * s.threshold
      and not exists (
        select from public.alerts a
        where a.rule_id = r.id and a.data ->> 'tenant_id' = c.tenant_id::text and a.data ->> 'metric' = c.metric
          and (a.data ->> 'threshold')::numeric = s.threshold and (a.data ->> 'window_start')::timestamptz = c.window_start
      )`;
  expect(missed).toEqual([]);
  const twice = await control`select dedup_key from public.alerts group by dedup_key having count(*) > 1`;
  expect(twice).toEqual([]);
}, 600_000);

/** What becomes of calls that each wait behind `held`, in this order, and are let go together. */
async function queuedBehind(held: Call, ...calls: Call[]): Promise<unknown[]> {
  const [holder] = connections as [Sql];
  const callers = calls.map(() => postgres(database.databaseUrl, { max: 1, onnotice: () => {} }));
  const outcomes: Promise<unknown>[] = [];
  await holder.begin(async (transaction) => {
    await held(transaction as unknown as Sql);
    for (const call of calls) {
      const sql = callers[outcomes.length] as Sql;
      const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
      let isOver = false;
      const outcome = Promise.resolve(call(sql)).then(
        () => "done",
        (error) => error.message,
      );
      outcomes.push(
        outcome.finally(() => {
          isOver = true;
        }),
      );
      await until(async () => {
        const [state] = await control`select wait_event_type from pg_stat_activity where pid = ${pid}`;
        return isOver || state?.wait_event_type === "Lock";
      });
    }
  });
  const ends = await Promise.all(outcomes);
  await Promise.all(callers.map((sql) => sql.end()));
  return ends;
}
type Call = (sql: Sql) => PromiseLike<unknown>;

const deleteRule =
  (tenantId: string): Call =>
  async (sql) => {
    await sql`set enable_seqscan = off`; // as where there are many alerts
    await sql`delete from public.alert_rules where tenant_id = ${tenantId} and name = 'Half'`;
  };
const evaluate: Call = (sql) => sql`select public.evaluate_alert_rules()`;

test("a rule that is deleted while its threshold is crossed stops neither the take nor a pass", async () => {
  const tenantId = await tenantWithRules(["tokens"]);
  const take: Call = (sql) => sql`select public.consume_quota(${tenantId}, 'tokens', 600)`;
  expect(await queuedBehind(deleteRule(tenantId), take)).toEqual(["done"]);

  const another = await tenantWithRules(["tokens"]);
  await control`select public.consume_quota(${another}, 'tokens', 400)`;
  await control`update private.quota_counters set used = 600 where tenant_id = ${another} and metric = 'tokens'`;
  expect(await queuedBehind(deleteRule(another), evaluate)).toEqual(["done"]);
});

test.each(["with news of them", "when they are over"])(
  "a rule that is deleted and a pass over its alerts do not wait for each other in a circle, %s",
  async (pass) => {
    const metrics = ["chat_messages", "embeddings", "tokens"];
    for (const moved of metrics) {
      const tenantId = await tenantWithRules(metrics);
      for (const metric of metrics) await control`select public.consume_quota(${tenantId}, ${metric}, 600)`;
      // Alerts are where they were written last: one comes first by an index and last in the table.
      await control`
        update public.alerts set message = 'Moved' where tenant_id = ${tenantId} and data ->> 'metric' = ${moved}`;
      const used = pass === "when they are over" ? 0 : 700;
      await control`update private.quota_counters set used = ${used} where tenant_id = ${tenantId}`;
      const hold: Call = (sql) => sql`select from public.alerts where tenant_id = ${tenantId} for update`;
      expect(await queuedBehind(hold, evaluate, deleteRule(tenantId))).toEqual(["done", "done"]);
    }
  },
);

test("an alert that a member resolves while a pass ends it is told to be resolved once", async () => {
  const tenantId = await tenantWithRules(["tokens"]);
  const config = { url: "https://hooks.example.com/" };
  await control`
    insert into public.alert_channels (tenant_id, type, name, config)
    values (${tenantId}, 'webhook', 'Hook', ${control.json(config)})`;
  await control`select public.consume_quota(${tenantId}, 'tokens', 600)`;
  await control`update private.quota_counters set used = 0 where tenant_id = ${tenantId}`;
  const [alert] = await control`select id from public.alerts where tenant_id = ${tenantId}`;
  const resolve: Call = (sql) => sql`select public.resolve_alert(${alert?.id}, 'By hand')`;
  expect(await queuedBehind(resolve, evaluate)).toEqual(["done"]);
  const [ended] = await control`
    select a.resolution_note, a.cleared_at is not null as is_over,
      (select count(*)::int from public.alert_notifications n where n.alert_id = a.id and n.payload ->> 'event' = 'resolved') as told
    from public.alerts a where a.id = ${alert?.id}`;
  expect(ended).toEqual({ resolution_note: "By hand", is_over: true, told: 1 });
});
